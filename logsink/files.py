"""The log files: recovered at the start, then written in batches that are on the disk whole or not at all.

    write all of a batch → fsync each file → only then may the messages be acknowledged

Each source has a `Writer`, which knows the number of the last message in its files. Messages reach a source's files
in the order of the stream, so whatever has that number or a lower one was written already and is passed over. If a
write fails, every file goes back to where the last batch ended; if even that fails (or the process dies), the next
write or the next start does it.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Final

import msgspec
from loguru import logger

from bus.errors import ConflictError, UnavailableError
from logsink.layout import LogFile, Place, Source, next_place, outdated, place_of_file, source_of_folder
from logsink.lines import Lines, WholeEnd, whole_end
from logsink.position import Position, load, save, sync_folder

MAX_OPEN_FILES: Final = 200
"""Far below the usual limit of 1,024; workers come and go, and each has files of its own."""

_TAIL_BYTES: Final = 64 * 1024
_LOCK: Final = ".lock"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One message to be written."""

    source: Source
    seq: int
    day: date
    lines: Lines


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a batch. `again`: messages that the files had already."""

    records: int
    unreadable: int
    again: int


class LogFolder:
    """All log files under one folder, of which this process is the only writer. Made by `open_folder`."""

    def __init__(self, path: Path, lock_fd: int, *, limit_bytes: int) -> None:
        self.path: Final = path
        self._limit_bytes = limit_bytes
        self._lock_fd = lock_fd
        self._writers = {source: Writer.recover(path, source) for source in sources(path)}

    @property
    def highest_seq(self) -> int:
        """The highest message number in any file; 0 if there is none."""
        return max((writer.last_seq for writer in self._writers.values()), default=0)

    def position(self) -> Position | None:
        """The position kept in the folder; `UnavailableError` if it cannot be read."""
        try:
            return load(self.path)
        except OSError as exc:
            raise _cannot(self.path, exc) from exc

    def keep_position(self, position: Position) -> None:
        """Keep it; `UnavailableError` if the disk refuses."""
        try:
            save(self.path, position)
        except OSError as exc:
            raise _cannot(self.path, exc) from exc

    def write(self, entries: Sequence[Entry]) -> Written:
        """Put messages on the disk, in order; when it returns, they survive a loss of power.

        Raises `UnavailableError` if the disk refuses; then what has not been written is to be tried again, and the
        same batch may be: messages that are there already are passed over.
        """
        touched: dict[Source, Writer] = {}
        records = unreadable = again = 0
        try:
            for entry in entries:
                writer = self._writers.get(entry.source)
                if writer is None:
                    writer = self._writers[entry.source] = Writer(self.path / entry.source.folder)
                touched[entry.source] = writer
                if not writer.add(entry, self._limit_bytes):
                    again += 1
                    continue
                records += entry.lines.records
                unreadable += entry.lines.unreadable
            for writer in touched.values():
                writer.commit()
        except OSError as exc:
            for writer in touched.values():
                writer.roll_back()
            raise _cannot(self.path, exc) from exc
        for source in touched:  # the most recently used last
            self._writers[source] = self._writers.pop(source)
        self._close_some()
        return Written(records=records, unreadable=unreadable, again=again)

    def clean_up(self, *, today: date, keep_days: int, keep_bytes: int) -> list[LogFile]:
        """Remove what is older or more than is kept; the files that went. `UnavailableError` if it cannot be done."""
        try:
            gone = outdated(_log_files(self.path), today=today, keep_days=keep_days, keep_bytes=keep_bytes)
            for file in gone:
                file.path.unlink(missing_ok=True)
            for folder in {file.path.parent for file in gone}:
                with suppress(OSError):  # not empty
                    folder.rmdir()
        except OSError as exc:
            raise _cannot(self.path, exc) from exc
        return gone

    def close(self) -> None:
        """Close every file and let another sink have the folder."""
        for writer in self._writers.values():
            writer.close()
        os.close(self._lock_fd)

    def _close_some(self) -> None:
        opened = [writer for writer in self._writers.values() if writer.opened]
        for writer in opened[: max(0, len(opened) - MAX_OPEN_FILES)]:
            writer.close()


def open_folder(path: Path, *, limit_bytes: int) -> LogFolder:
    """The log folder, made if there is none, its files cut back to whole messages.

    Raises `UnavailableError` if the disk refuses, `ConflictError` if another sink writes there.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock_fd = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as exc:
        raise _cannot(path, exc) from exc
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return LogFolder(path, lock_fd, limit_bytes=limit_bytes)
    except BlockingIOError as exc:
        os.close(lock_fd)
        raise ConflictError(
            f"another log sink writes to {path}: stop it first, or give this one a --log-folder and a --log-consumer "
            "of its own"
        ) from exc
    except OSError as exc:
        os.close(lock_fd)
        raise _cannot(path, exc) from exc


class Writer:
    """The files of one source, of which the last is written to. Its methods raise `OSError`."""

    def __init__(self, folder: Path, *, place: Place | None = None, size_bytes: int = 0, last_seq: int = 0) -> None:
        self._folder = folder
        self._place = place
        self._size_bytes = size_bytes
        self.last_seq = last_seq
        self._fd: int | None = None
        self._unsure = False  # there may be bytes after `size_bytes`
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._waiting_seq = last_seq

    @classmethod
    def recover(cls, root: Path, source: Source) -> "Writer":
        """The writer that goes on where the files end; a message that was cut off is removed from them."""
        folder = root / source.folder
        found = places(folder)
        if not found:
            return cls(folder)
        newest = _cut(folder / found[-1].file)
        last_seq = newest.seq
        for place in reversed(found[:-1]):  # the newest may have held nothing but half a message
            if last_seq:
                break
            last_seq = _cut(folder / place.file).seq
        return cls(folder, place=found[-1], size_bytes=newest.size_bytes, last_seq=last_seq)

    @property
    def opened(self) -> bool:
        """True while it holds a file descriptor."""
        return self._fd is not None

    def add(self, entry: Entry, limit_bytes: int) -> bool:
        """Take a message for the next commit, which comes first if it belongs into a new file. False: it is there."""
        if entry.seq <= self._waiting_seq:
            return False
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
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        self._waiting_seq = entry.seq
        return True

    def commit(self) -> None:
        """Put on the disk what was added."""
        if not self._waiting:
            return
        fd = self._open()
        self._unsure = True
        rest = memoryview(b"".join(self._waiting))
        while rest:
            rest = rest[os.write(fd, rest) :]
        os.fsync(fd)
        self._unsure = False
        self._size_bytes += self._waiting_bytes
        self.last_seq = self._waiting_seq
        self._forget()

    def roll_back(self) -> None:
        """Forget what was added; whatever of it reached the file is cut off, now or before the next write."""
        self._forget()
        if self._unsure and self._fd is not None:
            with suppress(OSError):
                os.ftruncate(self._fd, self._size_bytes)
                self._unsure = False

    def close(self) -> None:
        """Give back the file descriptor; it is opened again when needed."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)

    def _forget(self) -> None:
        self._waiting.clear()
        self._waiting_bytes = 0
        self._waiting_seq = self.last_seq

    def _open(self) -> int:
        """A descriptor of the current file, which ends at `_size_bytes`; made anew if somebody removed it."""
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
            self._size_bytes = size  # shorter or longer than it was: an operator's hand, which is not undone
        self._unsure = False
        return self._fd


def sources(root: Path) -> list[Source]:
    """Whoever has a folder under the log folder, sorted. Raises `OSError`."""
    with os.scandir(root) as entries:
        found = [source_of_folder(entry.name) for entry in entries if entry.is_dir()]
    return sorted(source for source in found if source is not None)


def places(folder: Path) -> list[Place]:
    """The log files of one source, oldest first. Raises `OSError`."""
    with os.scandir(folder) as entries:
        found = [place_of_file(entry.name) for entry in entries if entry.is_file()]
    return sorted(place for place in found if place is not None)


def _log_files(root: Path) -> Iterator[LogFile]:
    for source in sources(root):
        folder = root / source.folder
        found = places(folder)
        for place in found:
            path = folder / place.file
            yield LogFile(path=path, place=place, size_bytes=path.stat().st_size, newest=place == found[-1])


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


def _ends(fd: int, size: int) -> Iterable[WholeEnd | None]:
    tail = _TAIL_BYTES
    while True:
        offset = max(0, size - tail)
        yield whole_end(os.pread(fd, size - offset, offset), offset=offset)
        if offset == 0:
            return
        tail *= 4


def _cannot(path: Path, exc: OSError) -> UnavailableError:
    where = exc.filename or path
    return UnavailableError(
        f"log records cannot be written: {exc.strerror or exc} ({where}); they wait in the log stream until there is "
        "room and permission"
    )
