"""Up to where the stream is on the disk, kept beside the log files so that it survives both sides.

Sequence numbers begin anew when a stream is made anew (or comes back from an old copy), which must not be mistaken
for records that were written already. So the numbers in the files are `base` + the stream's number, and `base` moves
up with each new stream: they only ever grow.
"""

import os
from pathlib import Path
from typing import Final

import msgspec

FILE: Final = ".position.json"


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """All messages of this stream up to `written` are on the disk. `created` tells a stream from its namesakes."""

    stream: str
    created: str
    base: int = 0
    written: int = 0

    def seq(self, stream_seq: int) -> int:
        """The number in the files of a message of the stream."""
        return self.base + stream_seq


def resume(
    known: Position | None, *, stream: str, created: str, last_stream_seq: int, acknowledged: int, highest_seq: int
) -> Position:
    """Where to go on in the stream there is now, when `highest_seq` is the highest number in the files.

    `acknowledged` is what the consumer says was written; 0 without one. A stream made anew, or gone back to an older
    state, is read from its beginning: rather a record twice than a record never. Without a known position nothing
    in the files is taken for a part of this stream, but the consumer is believed.
    """
    if known is None:
        believed = acknowledged if acknowledged <= last_stream_seq else 0
        return Position(stream=stream, created=created, base=highest_seq, written=believed)
    same = (known.stream, known.created) == (stream, created)
    if same and highest_seq <= known.seq(last_stream_seq) and max(known.written, acknowledged) <= last_stream_seq:
        return Position(stream=stream, created=created, base=known.base, written=max(known.written, acknowledged))
    return Position(stream=stream, created=created, base=max(highest_seq, known.seq(known.written)))


def load(folder: Path) -> Position | None:
    """The position kept in the folder; None if there is none, or none that can be read."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Position)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def save(folder: Path, position: Position) -> None:
    """Replace the kept position; after a crash there is the old one or the new. Raises `OSError`."""
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
    """Make new names in a folder last. Raises `OSError`."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
