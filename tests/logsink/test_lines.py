import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.codec import decode_record, encode_records
from bus.messages import LogRecord
from logsink.layout import STRANGER, Source
from logsink.lines import MAX_KEPT_CHARS, MAX_LINE_BYTES, to_lines, whole_end

WORKER = Source("worker", "w1")
NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)


def record(number=0, **fields):
    return LogRecord(
        time="2026-11-03T12:00:00.000000Z",
        level="INFO",
        component="worker",
        id="w1",
        event="counted",
        fields={"number": number, **fields},
    )


def lines_of(payload, *, seq=7, source=WORKER):
    lines = to_lines(payload, subject="lb.log.worker.w1", source=source, seq=seq, stored_at=NOON)
    return lines, [json.loads(line) for line in lines.data.splitlines()]


def test_a_record_is_kept_as_it_came_with_the_number_of_its_message():
    payload = b'{"time":"t","level":"INFO","component":"c","id":"i","event":"e","new":1.50,"seq":99}'
    lines, (kept,) = lines_of(payload + b" \r\n")
    assert lines.data == payload[:-1] + b',"seq":7}\n'
    assert kept["seq"] == 7
    assert (lines.records, lines.unreadable) == (1, 0)


def test_records_of_one_message_are_counted():
    lines, kept = lines_of(encode_records([record(n) for n in range(3)]))
    assert [(line["seq"], line["part"], line["parts"]) for line in kept] == [(7, 1, 3), (7, 2, 3), (7, 3, 3)]
    assert [line["fields"]["number"] for line in kept] == [0, 1, 2]
    assert lines.records == 3


GARBAGE = {
    "no JSON": b"hello",
    "no object": b"[1, 2]",
    "no record": b'{"event": "e"}',
    "wrong types": b'{"time":1,"level":"INFO","component":"c","id":"i","event":"e"}',
    "no UTF-8": b"\xff\xfe",
    "no UTF-8 in a field of the future": b'{"x":"\xff","time":"t","level":"I","component":"c","id":"i","event":"e"}',
    "too deep": b'{"time":"t","level":"I","component":"c","id":"i","event":"e","fields":{"a":' + b"[" * 9999,
    "too long": encode_records([record(text="x" * MAX_LINE_BYTES)]),
    "nothing": b"",
    "newlines only": b"\n" * 100_000,
    "garbage lines": b"x\n" * 100_000,
    "zeros": bytes(1000),
}


@pytest.mark.parametrize("payload", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_kept_in_one_bounded_record(payload):
    lines, (kept,) = lines_of(payload)
    assert (lines.records, lines.unreadable) == (1, 1)
    assert kept["event"] == "unreadable log record"
    assert kept["fields"]["unreadable"] == payload[:MAX_KEPT_CHARS].decode(errors="backslashreplace")[:MAX_KEPT_CHARS]
    assert kept["fields"]["reason"]
    assert kept["seq"] == 7


def test_good_records_among_garbage_are_kept_as_they_are():
    good = encode_records([record(1)])
    lines, kept = lines_of(b"bad\n" + good + b"\n\nbad\nworse\n" + good)
    assert [line["event"] for line in kept] == ["unreadable log record", "counted"] * 2
    assert kept[2]["fields"]["unreadable"] == "bad\nworse"
    assert (lines.records, lines.unreadable) == (4, 2)


def test_a_record_on_a_subject_that_names_nobody_is_kept_as_text():
    _, (kept,) = lines_of(encode_records([record(1)]), source=STRANGER)
    assert "counted" in kept["fields"]["unreadable"]
    assert kept["fields"]["subject"] == "lb.log.worker.w1"


@settings(deadline=None)
@given(
    st.binary(max_size=300) | st.lists(st.sampled_from([encode_records([record(1)]), b"x", b"", b"\r"])).map(b"\n".join)
)
def test_whatever_comes_becomes_lines_that_are_log_records(payload):
    lines, kept = lines_of(payload)
    assert len(kept) == lines.records >= 1
    assert lines.data.endswith(b"\n")
    for line in lines.data.splitlines():
        decode_record(line)
    assert whole_end(lines.data, offset=0) is not None


def file_of(sizes):
    """Messages 1, 2, … of so many records each, and where each ends in the file."""
    data, ends = b"", [(0, 0)]
    for seq, size in enumerate(sizes, 1):
        data += lines_of(encode_records([record(n) for n in range(size)]), seq=seq)[0].data
        ends.append((len(data), seq))
    return data, ends


@settings(deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.data())
def test_a_file_cut_anywhere_ends_with_its_last_whole_message(sizes, draw):
    data, ends = file_of(sizes)
    cut = draw.draw(st.integers(0, len(data)))
    rubbish = draw.draw(st.sampled_from([b"", bytes(50), b"x\n\n", b'{"seq":\n']))
    end = whole_end(data[:cut] + rubbish, offset=0)
    assert end is not None
    assert (end.size_bytes, end.seq) == max(e for e in ends if e[0] <= cut)


@settings(deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.data())
def test_a_piece_of_the_file_gives_the_same_end_or_none(sizes, draw):
    data, _ = file_of(sizes)
    cut = draw.draw(st.integers(0, len(data)))
    offset = draw.draw(st.integers(0, cut))
    end = whole_end(data[offset:cut], offset=offset)
    assert end is None or end == whole_end(data[:cut], offset=0)
