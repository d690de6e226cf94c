"""The position in the stream up to which messages are on disk, kept beside the log files.

Sequence numbers start again when a stream is made again (or restored from an old copy), and such messages must not be
mistaken for records that were written already. So the numbers in the files are `base` + the stream's number, and
`base` moves up with each new stream: they only ever grow.
"""

import os
from pathlib import Path
from typing import Final

import msgspec

FILE: Final = ".position.json"


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """The last message of a stream that is on disk, `written`. `created` tells a stream from others of its name."""

    stream: str
    created: str
    base: int = 0
    written: int = 0

    def seq(self, stream_seq: int) -> int:
        """Return the number in the files of a message of the stream."""
        return self.base + stream_seq


def resume(
    known: Position | None, *, stream: str, created: str, last_stream_seq: int, acknowledged: int, highest_seq: int
) -> Position:
    """Return the position to resume from in the present stream; `highest_seq` is the highest number in the files.

    `acknowledged` is the consumer's own position, 0 without a consumer. A stream made again, or restored to an older
    state, is read from its beginning: better a record twice than never. Without a known position the files are not
    taken for a part of this stream, but the consumer's position is.
    """
    if known is None:
        believed = acknowledged if acknowledged <= last_stream_seq else 0
        return Position(stream=stream, created=created, base=highest_seq, written=believed)
    same = (known.stream, known.created) == (stream, created)
    if same and highest_seq <= known.seq(last_stream_seq) and max(known.written, acknowledged) <= last_stream_seq:
        return Position(stream=stream, created=created, base=known.base, written=max(known.written, acknowledged))
    return Position(stream=stream, created=created, base=max(highest_seq, known.seq(known.written)))


def load(folder: Path) -> Position | None:
    """Return the position kept in the folder; None if there is none that can be read."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Position)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def save(folder: Path, position: Position) -> None:
    """Replace the kept position atomically: a crash leaves the old or the new one. Raises `OSError`."""
    aside = folder / f"{FILE}.new"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, msgspec.json.encode(position) + b"\n")
        os.fsync(fd)
    finally:
        os.close(fd)
    aside.replace(folder / FILE)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Write a folder's new names to disk. Raises `OSError`."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
