"""The flags that record a run, and the recording."""

import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from bench.history.entry import Entry, Figure, append
from bench.results import Machine
from bus.errors import InvalidInputError

FOLDER: Final = Path("docs/performance/history")
"""Folder of the history, relative to the root of the checkout."""


class RecordSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The flags that record a run; every benchmark's settings begin with them."""

    record: Annotated[bool, Meta(description=f"Add the key figures to {FOLDER}.")] = False
    allow_dirty: Annotated[bool, Meta(description="Record although the working tree has changes.")] = False


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is to be recorded: its commit, its start, and the file for its line."""

    commit: str
    dirty: bool
    date: str
    file: Path

    def add(self, *, machine: Machine, command: str, figures: Mapping[str, Figure]) -> None:
        """Append the figures of the finished run to the history."""
        entry = Entry(
            commit=self.commit,
            dirty=self.dirty,
            date=self.date,
            machine=f"{machine.cores} cores, {machine.processor}, {machine.system}",
            load_before=machine.load_before,
            command=command,
            figures=figures,
        )
        append(self.file, entry)


def start_recording(settings: RecordSettings, benchmark: str) -> Recording | None:
    """Return the recording of a run that begins now; None without `--record`.

    Raises `InvalidInputError`, so that a long run is not made in vain, outside a git checkout and if the working tree
    has changes (files of the history do not count) and `--allow-dirty` is not set.
    """
    if not settings.record:
        return None
    root = _git("rev-parse", "--show-toplevel")
    dirty = bool(_git("-C", root, "status", "--porcelain", "--", ".", f":!{FOLDER}"))
    if dirty and not settings.allow_dirty:
        raise InvalidInputError(
            "the working tree has changes, so that no commit says what would be recorded: commit them, "
            "or set --allow-dirty"
        )
    return Recording(
        commit=_git("rev-parse", "HEAD"),
        dirty=dirty,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        file=Path(root) / FOLDER / f"{benchmark}.jsonl",
    )


def command_line(recipe: str, settings: msgspec.Struct) -> str:
    """Return the `just` command with those settings that differ from the defaults, but no paths and none of recording.

    Paths are left out since they say more of the machine than of the run.
    """
    words = ["just", recipe]
    for field in msgspec.structs.fields(settings):
        value = getattr(settings, field.name)
        if value == field.default or isinstance(value, Path) or field.name in RecordSettings.__struct_fields__:
            continue
        words += _flag(field.name.replace("_", "-"), value)
    return " ".join(words)


def _flag(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    values = value if isinstance(value, tuple) else (value,)
    return [word for each in values for word in (f"--{name}", f"{each:g}" if isinstance(each, float) else str(each))]


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except FileNotFoundError as exc:
        raise InvalidInputError("--record needs git, which is not installed") from exc
    except subprocess.CalledProcessError as exc:
        raise InvalidInputError(f"--record needs a git checkout with a commit: {exc.stderr.strip()}") from exc
    return done.stdout.strip()
