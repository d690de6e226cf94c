"""The comparison's results for people: a table, and a plot."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.ticker import NullFormatter, ScalarFormatter
from rich.table import Table

from bench.history.entry import Figure as HistoryFigure
from bench.peers.measure import Leg
from bench.peers.summary import Figures, medians

mpl.use("svg")  # files only: no window is opened, and no display is needed

COLOURS: Final = ("#cc6600", "#0066aa", "#339966", "#884499", "#444444")


def table_of(rounds: Sequence[Figures]) -> Table:
    """Return a table with a row for each side and round, and a row of medians for each side."""
    table = Table("side", "round", "loads", "mean ms", "p50 ms", "p99 ms", "max ms", "failed", "seconds", "routes")
    for row in rounds:
        table.add_row(*_cells(row, str(row.round)), end_section=row is rounds[-1])
    for row in medians(rounds):
        table.add_row(*_cells(row, "median"), style="bold")
    return table


def _cells(row: Figures, name: str) -> list[str]:
    times = [f"{value:.1f}" for value in (row.mean_ms, row.p50_ms, row.p99_ms, row.max_ms)]
    routes = ", ".join(f"{route} {count:,}" for route, count in row.routes.items())
    return [row.side, name, f"{row.loads:g}", *times, f"{row.failed:,}", f"{row.seconds:.0f}", routes]


def figures_of(rounds: Sequence[Figures]) -> dict[str, HistoryFigure]:
    """Return each side's medians for the history."""
    found: dict[str, HistoryFigure] = {}
    for row in medians(rounds):
        found[f"{row.side}: loads"] = HistoryFigure(row.loads, "")
        found[f"{row.side}: mean"] = HistoryFigure(round(row.mean_ms, 1), "ms")
        found[f"{row.side}: p99"] = HistoryFigure(round(row.p99_ms, 1), "ms")
    return found


def plot_peers(legs: Sequence[Leg], rounds: Sequence[Figures], file: Path) -> None:
    """Write an SVG of the completion times of all rounds, and of each round's mean and p99, a colour a side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    times, single = figure.subplots(1, 2)
    for number, side in enumerate(dict.fromkeys(leg.side for leg in legs)):
        colour = COLOURS[number % len(COLOURS)]
        completion = sorted(
            sent.completion_ms for leg in legs if leg.side == side for sent in leg.requests if not sent.code
        )
        times.plot(completion, [(at + 1) / len(completion) for at in range(len(completion))], color=colour, label=side)
        of_side = [row for row in rounds if row.side == side]
        for mark, name in (("o", "mean"), ("^", "p99")):
            values = [getattr(row, f"{name}_ms") for row in of_side]
            single.plot([row.round for row in of_side], values, mark, color=colour, label=f"{side}, {name}")
    times.set_title("share of requests completed within")
    times.set_xlabel("ms")
    times.set_xscale("log")
    times.xaxis.set_major_formatter(ScalarFormatter())
    times.xaxis.set_minor_formatter(NullFormatter())
    single.set_title("mean and p99 of each round, ms")
    single.set_xlabel("round")
    single.set_yscale("log")
    single.yaxis.set_major_formatter(ScalarFormatter())
    single.yaxis.set_minor_formatter(ScalarFormatter())
    single.set_xticks(sorted({row.round for row in rounds}))
    for axes in (times, single):
        axes.legend(fontsize=7)
        axes.grid(alpha=0.3)
    figure.savefig(file)
