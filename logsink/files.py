"""The log folder: recovered at the start, then written in batches that are on disk as a whole or not at all.

    write all of a batch → fsync each file → only then may the messages be acknowledged

If a write fails, every file goes back to where the last batch ended; if even that fails (or the process dies), the
next write or the next start does it.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Final

from bus.errors import ConflictError, UnavailableError
from logsink.layout import LogFile, Source, outdated, source_of_folder
from logsink.position import Position, load, save
from logsink.writer import Entry, Tally, Writer, places

MAX_OPEN_FILES: Final = 200
"""Far below the usual limit of 1,024; workers come and go, and each has files of its own."""

_LOCK: Final = ".lock"


class LogFolder:
    """All log files under one folder, of which this process is the only writer. Made by `open_folder`."""

    def __init__(self, path: Path, lock_fd: int, *, limit_bytes: int) -> None:
        self.path: Final = path
        self._limit_bytes = limit_bytes
        self._lock_fd = lock_fd
        self.tally: Final = Tally()
        self._writers = {source: Writer.recover(path, source, self.tally) for source in sources(path)}

    @property
    def highest_seq(self) -> int:
        """The highest message number in any file; 0 if there is none."""
        return max((writer.last_seq for writer in self._writers.values()), default=0)

    def position(self) -> Position | None:
        """Return the position kept in the folder; `UnavailableError` if it cannot be read."""
        try:
            return load(self.path)
        except OSError as exc:
            raise _cannot(self.path, exc) from exc

    def keep_position(self, position: Position) -> None:
        """Keep a position in the folder; `UnavailableError` if the disk refuses."""
        try:
            save(self.path, position)
        except OSError as exc:
            raise _cannot(self.path, exc) from exc

    def write(self, entries: Sequence[Entry]) -> None:
        """Put messages on the disk, in order; when it returns, they survive a loss of power.

        Raises `UnavailableError` if the disk refuses; try the same batch again then: messages that are on the disk
        already are skipped.
        """
        touched: dict[Source, Writer] = {}
        try:
            for entry in entries:
                writer = self._writers.get(entry.source)
                if writer is None:
                    writer = self._writers[entry.source] = Writer(self.path / entry.source.folder, self.tally)
                touched[entry.source] = writer
                writer.add(entry, self._limit_bytes)
            for writer in touched.values():
                writer.commit()
        except OSError as exc:
            for writer in touched.values():
                writer.roll_back()
            raise _cannot(self.path, exc) from exc
        for source in touched:  # the most recently used last
            self._writers[source] = self._writers.pop(source)
        self._close_some()

    def clean_up(self, *, today: date, keep_days: int, keep_bytes: int) -> list[LogFile]:
        """Remove the files that retention does not keep and return them; `UnavailableError` if the disk refuses."""
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
    """Open the log folder, made if there is none, and cut its files back to whole messages.

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


def sources(root: Path) -> list[Source]:
    """Return the sources that have a folder under the log folder, sorted. Raises `OSError`."""
    with os.scandir(root) as entries:
        found = [source_of_folder(entry.name) for entry in entries if entry.is_dir()]
    return sorted(source for source in found if source is not None)


def _log_files(root: Path) -> Iterator[LogFile]:
    for source in sources(root):
        folder = root / source.folder
        found = places(folder)
        for place in found:
            path = folder / place.file
            yield LogFile(path=path, place=place, size_bytes=path.stat().st_size, newest=place == found[-1])


def _cannot(path: Path, exc: OSError) -> UnavailableError:
    where = exc.filename or path
    return UnavailableError(
        f"log records cannot be written: {exc.strerror or exc} ({where}); they wait in the log stream until there is "
        "room and permission"
    )
