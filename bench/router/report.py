"""The table and the plot of the router's costs."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import msgspec
from rich.table import Table

from bench.history.entry import Figure as HistoryFigure

mpl.use("svg")  # files only: no window is opened, and no display is needed


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """The cost of one kind of event at one size of pool, in microseconds."""

    workers: int
    labels: int
    waiting: int
    event: str
    events: int
    median_us: float
    p99_us: float
    mean_us: float


def table_of(costs: Sequence[Cost]) -> Table:
    """Return a table with a row for each size of pool and kind of event."""
    table = Table()
    for column in ("workers", "labels", "waiting", "event", "median µs", "p99 µs", "mean µs"):
        table.add_column(column, justify="left" if column == "event" else "right")
    for cost in costs:
        table.add_row(
            f"{cost.workers:,}",
            f"{cost.labels:,}",
            f"{cost.waiting:,}",
            cost.event,
            f"{cost.median_us:.1f}",
            f"{cost.p99_us:.1f}",
            f"{cost.mean_us:.1f}",
        )
    return table


def figures_of(costs: Sequence[Cost]) -> dict[str, HistoryFigure]:
    """Return the median cost of each kind of event at each size of pool."""
    figures: dict[str, HistoryFigure] = {}
    for cost in costs:
        pool = "1 worker" if cost.workers == 1 else f"{cost.workers:,} workers"
        figures[f"{cost.event}, {pool}, median"] = HistoryFigure(round(cost.median_us, 2), "µs")
    return figures


def plot_of(costs: Sequence[Cost], file: Path) -> None:
    """Write an SVG of the median and p99 of each kind of event over the size of the pool (logarithmic)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    median, p99 = figure.subplots(1, 2)
    for event, colour in (("submit", "#0066aa"), ("finished", "#cc6600")):
        of_event = [cost for cost in costs if cost.event == event]
        at = [cost.workers for cost in of_event]
        median.plot(at, [cost.median_us for cost in of_event], color=colour, marker="o", label=event)
        p99.plot(at, [cost.p99_us for cost in of_event], color=colour, marker="o", label=event)
    for axes, title in ((median, "median, µs an event"), (p99, "p99, µs an event")):
        axes.set_title(title)
        axes.set_xlabel("workers")
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.legend()
        axes.grid(alpha=0.3)
    figure.savefig(file)
