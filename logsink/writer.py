"""The files of one source: cut back to whole messages at the start, then appended to.

A `Writer` knows the number of the last message in its files. Messages reach a source's files in the order of the
stream, so a message with that number or a lower one was written already and is skipped.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Final

import msgspec
from loguru import logger

from logsink.layout import Place, Source, next_place, place_of_file
from logsink.lines import Lines, WholeEnd, whole_end
from logsink.position import sync_folder

_TAIL_BYTES: Final = 64 * 1024


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One message to be written."""

    source: Source
    seq: int
    day: date
    lines: Lines


class Tally(msgspec.Struct, kw_only=True):
    """Counts since the start: records written, unreadable ones among them, and messages skipped as written before."""

    records: int = 0
    unreadable: int = 0
    again: int = 0


class Writer:
    """The files of one source, the last of which is open for writing. All methods raise `OSError`."""

    def __init__(
        self, folder: Path, tally: Tally, *, place: Place | None = None, size_bytes: int = 0, last_seq: int = 0
    ) -> None:
        self._folder = folder
        self._tally = tally
        self._place = place
        self._size_bytes = size_bytes
        self.last_seq = last_seq
        self._fd: int | None = None
        self._unsure = False  # there may be bytes after `size_bytes`
        self._waiting: list[Lines] = []
        self._waiting_bytes = 0
        self._waiting_seq = last_seq

    @classmethod
    def recover(cls, root: Path, source: Source, tally: Tally) -> "Writer":
        """Return a writer that continues at the end of the files; remove a message that was cut off."""
        folder = root / source.folder
        found = places(folder)
        if not found:
            return cls(folder, tally)
        newest = _cut(folder / found[-1].file)
        last_seq = newest.seq
        for place in reversed(found[:-1]):  # the newest may have held only half a message
            if last_seq:
                break
            last_seq = _cut(folder / place.file).seq
        return cls(folder, tally, place=found[-1], size_bytes=newest.size_bytes, last_seq=last_seq)

    @property
    def opened(self) -> bool:
        """Tell whether a file descriptor is open."""
        return self._fd is not None

    def add(self, entry: Entry, limit_bytes: int) -> None:
        """Add a message to the next commit; commit the messages before it if it belongs into a new file."""
        if entry.seq <= self._waiting_seq:
            self._tally.again += 1
            return
        data = entry.lines.data
        place = next_place(
            self._place,
            day=entry.day,
            size_bytes=self._size_bytes + self._waiting_bytes,
            adding_bytes=len(data),
            limit_bytes=limit_bytes,
        )
        if place != self._place:
            self.commit()
            self.close()
            self._place, self._size_bytes, self._unsure = place, 0, False
        self._waiting.append(entry.lines)
        self._waiting_bytes += len(data)
        self._waiting_seq = entry.seq

    def commit(self) -> None:
        """Write the added messages to disk."""
        if not self._waiting:
            return
        fd = self._open()
        self._unsure = True
        rest = memoryview(b"".join([lines.data for lines in self._waiting]))
        while rest:
            rest = rest[os.write(fd, rest) :]
        os.fsync(fd)
        self._unsure = False
        self._size_bytes += self._waiting_bytes
        self.last_seq = self._waiting_seq
        self._tally.records += sum(lines.records for lines in self._waiting)
        self._tally.unreadable += sum(lines.unreadable for lines in self._waiting)
        self._forget()

    def roll_back(self) -> None:
        """Discard the added messages; cut off the part that reached the file, now or before the next write."""
        self._forget()
        if self._unsure and self._fd is not None:
            with suppress(OSError):
                os.ftruncate(self._fd, self._size_bytes)
                self._unsure = False

    def close(self) -> None:
        """Close the file; it is opened again when needed."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)

    def _forget(self) -> None:
        self._waiting.clear()
        self._waiting_bytes = 0
        self._waiting_seq = self.last_seq

    def _open(self) -> int:
        """Return a descriptor of the current file, cut to `_size_bytes`; make the file again if it was removed."""
        assert self._place is not None
        if self._fd is not None and os.fstat(self._fd).st_nlink == 0:
            self.close()
        if self._fd is None:
            path = self._folder / self._place.file
            new = not path.exists()
            self._folder.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            if new:
                sync_folder(self._folder)
                sync_folder(self._folder.parent)
        size = os.fstat(self._fd).st_size
        if self._unsure and size > self._size_bytes:
            os.ftruncate(self._fd, self._size_bytes)
        else:
            self._size_bytes = size  # an operator may have changed it, which is not undone
        self._unsure = False
        return self._fd


def places(folder: Path) -> list[Place]:
    """Return the log files of one source, oldest first. Raises `OSError`."""
    with os.scandir(folder) as entries:
        found = [place_of_file(entry.name) for entry in entries if entry.is_file()]
    return sorted(place for place in found if place is not None)


def _cut(path: Path) -> WholeEnd:
    """Cut a file back to its last whole message."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        for end in _ends(file.fileno(), size):
            if end is not None:
                break
        assert end is not None  # the last one has read the whole file
        if end.size_bytes < size:
            logger.bind(file=str(path), bytes=size - end.size_bytes).warning("half-written message cut off a log file")
            file.truncate(end.size_bytes)
            os.fsync(file.fileno())
    return end


def _ends(fd: int, size: int) -> Iterator[WholeEnd | None]:
    tail = _TAIL_BYTES
    while True:
        offset = max(0, size - tail)
        yield whole_end(os.pread(fd, size - offset, offset), offset=offset)
        if offset == 0:
            return
        tail *= 4
