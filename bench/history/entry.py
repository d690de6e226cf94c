"""One recorded run, and the file of a benchmark's runs: JSON lines, oldest first."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from bus.errors import MalformedError


class Figure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One measured value and its unit; a plain number has the unit ""."""

    value: float
    unit: str


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run of one benchmark."""

    commit: str
    """Hexadecimal id of the commit that was measured."""
    dirty: bool
    """The working tree had changes beside this commit."""
    date: str
    """Start of the run: ISO 8601, UTC."""
    machine: str
    """Cores, processor, system and Python version; no host name and no path."""
    load_before: float
    """Runnable processes before the run (one-minute mean)."""
    command: str
    """The command, with those of its flags that differ from the defaults, but no paths."""
    figures: Mapping[str, Figure]


def append(file: Path, entry: Entry) -> None:
    """Add the entry to the end of the file, which is made if it does not exist."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as opened:
        opened.write(msgspec.json.encode(entry) + b"\n")


def read(file: Path) -> list[Entry]:
    """Read all entries; raise `MalformedError`, which names the first malformed line."""
    entries: list[Entry] = []
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        try:
            entries.append(msgspec.json.decode(line, type=Entry))
        except msgspec.DecodeError as exc:
            raise MalformedError(f"{file}, line {number}: {exc}") from exc
    return entries
