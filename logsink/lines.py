"""The lines that a message of the stream becomes in a file, and the end of a file's last whole message.

A line is the record's JSON as it came, with `seq`, the number of its message, added at the end; a record that shares
its message with others also has `part` and `parts`. (`seq`, `part`) names a record for ever, and a message is whole
on disk exactly when its line with `part` = `parts` is there. Pure code: no file is touched here.
"""

from datetime import datetime
from typing import Final

import msgspec

from bus.codec import decode_record
from bus.errors import MalformedError
from bus.logs import rfc3339
from bus.messages import LogRecord
from logsink.layout import STRANGER, Source

MAX_LINE_BYTES: Final = 512 * 1024
"""Twice the size at which a component ends a message; no component of labelbus writes a longer line."""

MAX_KEPT_CHARS: Final = 4_000
"""The length to which an unreadable line is cut."""

_encode = msgspec.json.Encoder().encode


class Tail(msgspec.Struct, frozen=True):
    """The fields of a line that recovery reads."""

    seq: int
    part: int = 1
    parts: int = 1


_decode_tail = msgspec.json.Decoder(Tail).decode


class Lines(msgspec.Struct, frozen=True, kw_only=True):
    """One message, ready to be written: `data` ends with a newline."""

    data: bytes
    records: int
    unreadable: int


class WholeEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a file's last whole message, whose number is `seq`; both are zero if there is none."""

    size_bytes: int
    seq: int


def to_lines(payload: bytes, *, subject: str, source: Source, seq: int, stored_at: datetime) -> Lines:
    """Convert a message to lines; never raises. Anything but a log record is kept, cut short, in a record of its own.

    Neighbouring unreadable lines share one record, so that a megabyte of newlines is not a million records.
    """
    kept: list[bytes] = []
    unreadable = 0
    bad: list[bytes] = []

    def give_up_on_bad(why: str) -> None:
        nonlocal unreadable
        if bad:
            unreadable += 1
            kept.append(_encode(_unreadable(b"\n".join(bad), why, subject, source, stored_at)))
            bad.clear()

    fault = ""
    if source == STRANGER:
        bad, fault = [payload], "the subject is not <prefix>.log.<component>.<id>"
    else:
        for line in payload.split(b"\n"):
            stripped = line.strip(b" \t\r")
            if reason := _fault(stripped):
                bad.append(line)
                fault = fault or reason
            elif stripped:
                give_up_on_bad(fault)
                fault = ""
                kept.append(stripped)
    if not kept and not bad:
        bad, fault = [payload], "no record"
    give_up_on_bad(fault)
    return Lines(data=_number(kept, seq), records=len(kept), unreadable=unreadable)


def whole_end(tail: bytes, *, offset: int) -> WholeEnd | None:
    """Return the end of the last whole message in a file of which `tail` begins at `offset`.

    Return None if more of the file is needed to tell. What follows the end is a message that was cut off (a crash, a
    full disk): it was never acknowledged, so the stream still has it.
    """
    end = tail.rfind(b"\n") + 1
    while end:
        start = tail.rfind(b"\n", 0, end - 1) + 1
        if start == 0 and offset:
            return None  # the line may begin before the tail
        try:
            line = _decode_tail(tail[start:end])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # blocks that never reached the disk before the power went
        else:
            if line.part == line.parts:
                return WholeEnd(size_bytes=offset + end, seq=line.seq)
        end = start
    return None if offset else WholeEnd(size_bytes=0, seq=0)


def _fault(line: bytes) -> str:
    """Return the fault of a line, empty if there is none; an empty line is no fault."""
    if not line:
        return ""
    if len(line) > MAX_LINE_BYTES:
        return f"longer than {MAX_LINE_BYTES} bytes"
    try:
        line.decode()  # unknown fields are not decoded, and must not spoil the file for other readers
        decode_record(line)
    except (MalformedError, UnicodeDecodeError, RecursionError) as exc:
        return str(exc)[:200]
    return ""


def _unreadable(data: bytes, why: str, subject: str, source: Source, stored_at: datetime) -> LogRecord:
    return LogRecord(
        time=rfc3339(stored_at.timestamp()),
        level="WARNING",
        component=source.component,
        id=source.id,
        event="unreadable log record",
        fields={
            "unreadable": data[:MAX_KEPT_CHARS].decode(errors="backslashreplace")[:MAX_KEPT_CHARS],
            "bytes": len(data),
            "reason": why,
            "subject": subject[:200],
        },
    )


def _number(records: list[bytes], seq: int) -> bytes:
    if len(records) == 1:
        return b'%b,"seq":%d}\n' % (records[0][:-1], seq)
    parts = len(records)
    return b"".join(
        b'%b,"seq":%d,"part":%d,"parts":%d}\n' % (record[:-1], seq, part, parts)
        for part, record in enumerate(records, 1)
    )
