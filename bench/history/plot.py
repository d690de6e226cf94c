"""The plot of a benchmark's history: a row for each command, a column for each unit, a line for each figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.history.entry import Entry

mpl.use("svg")  # files only: no window is opened, and no display is needed

MARKERS: Final = "os^v"
COLOURS: Final = 10
"""Colours of matplotlib's cycle; figures beyond them have another marker."""

LOG_RATIO: Final = 30.0
"""Greatest over least value from which an axis is logarithmic."""


def plot(entries: Sequence[Entry], file: Path) -> None:
    """Write an SVG of all figures over the runs; runs of different commands are not comparable and stand apart."""
    commands = list(dict.fromkeys(entry.command for entry in entries))
    units = list(dict.fromkeys(figure.unit for entry in entries for figure in entry.figures.values()))
    drawn = Figure(figsize=(1 + 5 * len(units), 3.8 * len(commands)), layout="constrained")
    grid = drawn.subplots(len(commands), len(units), squeeze=False)
    for command, row in zip(commands, grid, strict=True):
        runs = [entry for entry in entries if entry.command == command]
        for unit, axes in zip(units, row, strict=True):
            _panel(axes, runs, unit)
            axes.set_title(f"{command}\n{unit or 'count'}", fontsize=8)
    # The same entries give the same file, in which text is text.
    with mpl.rc_context({"svg.hashsalt": "labelbus", "svg.fonttype": "none"}):
        drawn.savefig(file, metadata={"Date": None})


def _panel(axes: Axes, runs: Sequence[Entry], unit: str) -> None:
    names = dict.fromkeys(name for run in runs for name, figure in run.figures.items() if figure.unit == unit)
    drawn: list[float] = []
    for number, name in enumerate(names):
        of_name = [(at, run.figures[name].value) for at, run in enumerate(runs) if name in run.figures]
        values = [value for _, value in of_name]
        axes.plot([at for at, _ in of_name], values, marker=MARKERS[number // COLOURS % len(MARKERS)], label=name)
        drawn += values
    axes.set_xticks(range(len(runs)), [_tick(run) for run in runs], rotation=60, fontsize=6)
    if drawn and min(drawn) > 0 and max(drawn) / min(drawn) > LOG_RATIO:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=min([0.0, *drawn]))
    axes.grid(alpha=0.3)
    if names:
        axes.legend(fontsize=6, loc="center left", bbox_to_anchor=(1.01, 0.5))


def _tick(run: Entry) -> str:
    return f"{run.date[:10]} {run.commit[:7]}{'+' if run.dirty else ''}"
