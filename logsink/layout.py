"""The layout of the log folder: names of folders and files, rotation, and retention.

    <log folder>/<component>.<id>/<day>.<number>.jsonl      worker.gpu-1/2026-11-03.0001.jsonl

`ls` shows who has logged, `cat worker.gpu-1/*` is one component's log in order, `cat worker.*/2026-11-03.*` is a
day of all workers. The day is that of the stream's own timestamp, in UTC. Neither a component nor an id may contain
a dot, so that the names are parsed without doubt. Pure code: no file is touched here.
"""

import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Final

import msgspec

from bus.errors import BadNameError
from bus.names import check_worker_id
from bus.subjects import Subjects

_FILE = re.compile(r"(\d{4}-\d{2}-\d{2})\.(\d{4,})\.jsonl", re.ASCII)


class Source(msgspec.Struct, frozen=True, order=True):
    """The component that wrote a record, taken from the subject: a record itself could claim any."""

    component: str
    id: str

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return f"{self.component}.{self.id}"


STRANGER: Final = Source("_", "unknown")
"""The source of messages on subjects that name none. No component can be called `_`."""


class Place(msgspec.Struct, frozen=True, order=True):
    """One of the files of a source; later places sort after earlier ones."""

    day: date
    number: int

    @property
    def file(self) -> str:
        """The name of the file."""
        return f"{self.day.isoformat()}.{self.number:04d}.jsonl"


class LogFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that exists, with its properties for retention. The `newest` of a source may still be written to."""

    path: Path
    place: Place
    size_bytes: int
    newest: bool


def source_of_subject(subjects: Subjects, subject: str) -> Source:
    """Return the source that published on the subject; `STRANGER` if it is not `lb.log.<component>.<id>`."""
    try:
        address = subjects.parse_log(subject)
        return Source(address.component, address.id)
    except BadNameError:
        return STRANGER


def source_of_folder(name: str) -> Source | None:
    """Return the source whose folder this is; None if no source has a folder of that name."""
    component, dot, component_id = name.partition(".")
    if name == STRANGER.folder:
        return STRANGER
    try:
        return Source(check_worker_id(component), check_worker_id(component_id)) if dot else None
    except BadNameError:
        return None


def place_of_file(name: str) -> Place | None:
    """Return the place that a file's name stands for; None if it is no log file."""
    found = _FILE.fullmatch(name)
    if found is None:
        return None
    try:
        return Place(date.fromisoformat(found[1]), int(found[2]))
    except ValueError:
        return None


def next_place(current: Place | None, *, day: date, size_bytes: int, adding_bytes: int, limit_bytes: int) -> Place:
    """Return the place of the next message, when the current file has `size_bytes`.

    A message is never split, so one larger than the limit has a file of its own. A day never goes back, even if the
    server's clock does: the files of a source are in the order of its messages, which recovery relies on.
    """
    if current is None or day > current.day:
        return Place(day, 1)
    if size_bytes and size_bytes + adding_bytes > limit_bytes:
        return Place(current.day, current.number + 1)
    return current


def outdated(files: Iterable[LogFile], *, today: date, keep_days: int, keep_bytes: int) -> list[LogFile]:
    """Return the files that retention removes, oldest first.

    These are the files older than `keep_days`, then the oldest ones until the rest fits into `keep_bytes`. A file that
    may be written to today is never removed.
    """
    ordered = sorted(files, key=lambda file: (file.place.day, file.newest, file.place.number, file.path))
    total = sum(file.size_bytes for file in ordered)
    taken = []
    for file in ordered:
        in_use = file.newest and file.place.day >= today
        too_old = (today - file.place.day).days >= keep_days
        if not in_use and (too_old or total > keep_bytes):
            taken.append(file)
            total -= file.size_bytes
    return taken
