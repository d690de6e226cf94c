"""Log files read back: filtered, merged by time, and followed.

Reading needs the files only, neither NATS nor the sink. Only whole lines are read, so it may run while
the sink writes. A line that is not a log record is returned as it is.
"""

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime
from operator import attrgetter
from pathlib import Path
from typing import Final

import msgspec

from bus.codec import decode_record
from bus.errors import MalformedError, NotFoundError
from bus.logs import LEVELS
from bus.messages import LogRecord
from logsink.files import sources
from logsink.layout import Place, Source
from logsink.writer import places

_BLOCK_BYTES: Final = 256 * 1024


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a log file. `record` is None if it is no log record; `time` is then that of the line before."""

    source: Source
    time: str
    record: LogRecord | None
    raw: bytes


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """The condition on wanted lines; an empty field wants all. `level` is the lowest; `since` is RFC 3339 in UTC."""

    component: str = ""
    id: str = ""
    level: str = ""
    task_id: str = ""
    since: str = ""

    def wants_source(self, source: Source) -> bool:
        """Tell whether lines of this source may be wanted."""
        return self.component in ("", source.component) and self.id in ("", source.id)

    def wants_place(self, place: Place) -> bool:
        """Tell whether the file may hold wanted lines.

        A record's time is the component's clock, a file's day the server's: a day's grace is given.
        """
        if not self.since:
            return True
        return (datetime.fromisoformat(self.since).date() - place.day).days <= 1

    def wants(self, line: Line) -> bool:
        """Tell whether this line is wanted; a line that is no record counts as a warning of no task."""
        if line.time < self.since:
            return False
        record = line.record
        if record is None:
            return not self.task_id and rank("WARNING") >= rank(self.level)
        if self.task_id and record.fields.get("task_id") != self.task_id:
            return False
        return rank(record.level) >= rank(self.level)


def rank(level: str) -> int:
    """Return the rank of a level; unknown levels rank above all, so that they are shown."""
    return LEVELS.index(level) if level in LEVELS else len(LEVELS) if level else -1


class LogReader:
    """The reading of a log folder: `history` first, if at all, then `news` again and again."""

    def __init__(self, folder: Path, wanted: Filter) -> None:
        self._folder = folder
        self._wanted = wanted
        self._cursors: dict[Source, _Cursor] = {}

    def history(self, tail: int | None = None) -> Iterator[Line]:
        """Return the lines there are now, or the last `tail`, merged by time; `NotFoundError` without the folder."""
        for source in self._sources():
            self._cursors[source] = cursor = _Cursor(source, self._folder / source.folder)
            cursor.to_end()
        if tail is None:
            yield from heapq.merge(*(self._read(cursor) for cursor in self._cursors.values()), key=attrgetter("time"))
        else:
            merged = heapq.merge(*(self._last(c, tail) for c in self._cursors.values()), key=attrgetter("time"))
            yield from deque(merged, maxlen=tail)

    def news(self) -> list[Line]:
        """Return the lines added since the last call, by time; all lines at a first call without `history`."""
        lines: list[Line] = []
        for source in self._sources():
            cursor = self._cursors.setdefault(source, _Cursor(source, self._folder / source.folder))
            lines += filter(self._wanted.wants, cursor.new_lines())
        return sorted(lines, key=attrgetter("time"))

    def _sources(self) -> list[Source]:
        try:
            return [source for source in sources(self._folder) if self._wanted.wants_source(source)]
        except (FileNotFoundError, NotADirectoryError) as exc:
            raise NotFoundError(
                f"there is no log folder {self._folder}: start a log sink (`labelbus up`, `labelbus logsink`), or give "
                "its folder with --folder (LABELBUS_LOG_FOLDER)"
            ) from exc
        except PermissionError as exc:
            raise NotFoundError(f"the log folder {self._folder} may not be read by this user") from exc

    def _read(self, cursor: "_Cursor") -> Iterator[Line]:
        for place in filter(self._wanted.wants_place, cursor.history):
            yield from filter(self._wanted.wants, cursor.lines_of(place))

    def _last(self, cursor: "_Cursor", count: int) -> list[Line]:
        """Return the last wanted lines, from the newest file backwards, so that old files are seldom opened."""
        found: list[Line] = []
        for place in filter(self._wanted.wants_place, reversed(cursor.history)):
            missing = count - len(found)
            found[:0] = deque(filter(self._wanted.wants, cursor.lines_of(place)), maxlen=missing)
            if len(found) >= count:
                break
        return found


class _Cursor:
    """The position up to which the files of one source have been read."""

    def __init__(self, source: Source, folder: Path) -> None:
        self._source = source
        self._folder = folder
        self._place: Place | None = None
        self._offset = 0
        self.history: list[Place] = []

    def to_end(self) -> None:
        """Take the present end of the files as the end of the history."""
        self.history = self._places()
        if self.history:
            self._place = self.history[-1]
            self._offset = _whole_lines_end(self._folder / self._place.file)

    def lines_of(self, place: Place) -> Iterator[Line]:
        """Yield the lines of one file of the history."""
        end = self._offset if place == self._place else None
        return _lines(self._source, (raw for raw, _ in _raw_lines(self._folder / place.file, 0, end)))

    def new_lines(self) -> Iterator[Line]:
        """Yield the lines behind the cursor and move it to their end."""
        for place in self._places():
            if self._place is not None and place < self._place:
                continue
            if place != self._place:
                self._place, self._offset = place, 0
            yield from _lines(self._source, self._advance(self._folder / place.file))

    def _advance(self, path: Path) -> Iterator[bytes]:
        if _size(path) < self._offset:  # recovery cut off a half-written message
            self._offset = _size(path)
        for raw, end in _raw_lines(path, self._offset, None):
            self._offset = end
            yield raw

    def _places(self) -> list[Place]:
        try:
            return places(self._folder)
        except (FileNotFoundError, NotADirectoryError):  # removed by retention
            return []


def _lines(source: Source, raws: Iterable[bytes]) -> Iterator[Line]:
    time = ""
    for raw in raws:
        try:
            record = decode_record(raw)
        except (MalformedError, RecursionError):
            record = None
        time = time if record is None else record.time
        yield Line(source=source, time=time, record=record, raw=raw)


def _raw_lines(path: Path, start: int, end: int | None) -> Iterator[tuple[bytes, int]]:
    """Yield whole lines without their newline, each with its end. The file is not held open between blocks."""
    offset, rest = start, b""
    while end is None or offset + len(rest) < end:
        want = _BLOCK_BYTES if end is None else min(_BLOCK_BYTES, end - offset - len(rest))
        try:
            with path.open("rb") as file:
                file.seek(offset + len(rest))
                block = file.read(want)
        except FileNotFoundError:  # removed by retention
            return
        if not block:
            return
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            offset += len(line) + 1
            yield line, offset


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _whole_lines_end(path: Path) -> int:
    """Return the end of the last whole line."""
    end = _size(path)
    with path.open("rb") as file:
        while end:
            start = max(0, end - _BLOCK_BYTES)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
    return 0
