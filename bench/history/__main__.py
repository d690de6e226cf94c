"""`just bench-history`: plots of the recorded runs."""

import sys
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from bench.console import wide_console
from bench.history.entry import read
from bench.history.plot import plot
from bench.history.record import FOLDER
from bus.command import settings_command
from bus.errors import NotFoundError


class HistorySettings(msgspec.Struct, frozen=True, kw_only=True):
    """The folder of the history."""

    folder: Annotated[Path, Meta(description="Folder of the history: one .jsonl file a benchmark.")] = FOLDER


def run(settings: HistorySettings) -> int:
    """Plot each benchmark's runs beside its file; return the exit status."""
    console = wide_console()
    files = sorted(settings.folder.glob("*.jsonl"))
    if not files:
        raise NotFoundError(f"{settings.folder} has no recorded runs: record one with `just bench-router --record`")
    for file in files:
        entries = read(file)
        plot(entries, file.with_suffix(".svg"))
        console.print(f"{file.with_suffix('.svg')}: {len(entries)} recorded")
    return 0


command = settings_command(
    HistorySettings, run, name="bench-history", help_text="Plot the key figures of recorded benchmark runs."
)

if __name__ == "__main__":
    sys.exit(command())
