"""The plot of the benchmark of texts a second."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes

from bench.throughput.report import Row

mpl.use("svg")  # files only: no window is opened, and no display is needed


def plot_throughput(rows: Sequence[Row], file: Path) -> None:
    """Write an SVG of the rate, and of p50 and p99, of each side in each cell."""
    from matplotlib.figure import Figure

    cells = list(dict.fromkeys(row.cell for row in rows))
    sides = list(dict.fromkeys(row.side for row in rows))
    figure = Figure(figsize=(2.5 + 1.8 * len(cells), 4.2), layout="constrained")
    rate, latency = figure.subplots(2, 1, sharex=True)
    width = 0.8 / len(sides)
    for number, side in enumerate(sides):
        of_side = [row for row in rows if row.side == side]
        at = [cells.index(row.cell) + (number - (len(sides) - 1) / 2) * width for row in of_side]
        low = [row.texts_per_s - row.texts_per_s_least for row in of_side]
        high = [row.texts_per_s_most - row.texts_per_s for row in of_side]
        colour = f"C{number}"
        rate.bar(at, [row.texts_per_s for row in of_side], width * 0.9, yerr=[low, high], color=colour, label=side)
        latency.bar(at, [row.p99_ms for row in of_side], width * 0.9, color=colour, alpha=0.35)
        latency.bar(at, [row.p50_ms for row in of_side], width * 0.9, color=colour)
    _named(rate, "texts a second")
    _named(latency, "ms: p50, pale p99")
    latency.set_yscale("log")
    latency.set_xticks(range(len(cells)), [cell.name for cell in cells], fontsize=8)
    rate.legend(fontsize=7, ncols=len(sides))
    figure.savefig(file)


def _named(axes: Axes, name: str) -> None:
    axes.set_ylabel(name, fontsize=8)
    axes.grid(axis="y", alpha=0.3)
