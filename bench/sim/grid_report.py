"""The results of the grid: a table of the cells that are not met, and heat maps of mean and p99."""

import statistics
from pathlib import Path

import matplotlib as mpl
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from rich.table import Table

from bench.sim.grid import MEAN_BAR, P99_BAR, CellResult

SHADES = (0.5, 2.0)
"""Ratios at the ends of the colour scale."""


def worst(results: list[CellResult], at_most: int = 20) -> Table:
    """Return a table of the cells in which a simple rule is better than the bars allow, the worst first."""
    missed = sorted(
        (result for result in results if not result.is_met),
        key=lambda result: -max(result.mean_ratio / MEAN_BAR, result.p99_ratio / P99_BAR),
    )
    made = Table(title=f"Cells in which a simple rule is better: {len(missed)} of {len(results)}")
    for column in ("cell", "mean, s", "÷ best", "best rule", "p99, s", "÷ best", "best rule", "loads"):
        made.add_column(column, justify="left" if column in ("cell", "best rule") else "right")
    for result in missed[:at_most]:
        made.add_row(
            result.cell.text(),
            f"{result.mean_s['labelbus']:.4g}",
            f"{result.mean_ratio:.2f}",
            min(result.rules, key=lambda rule: result.mean_s[rule]),
            f"{result.p99_s['labelbus']:.4g}",
            f"{result.p99_ratio:.2f}",
            min(result.rules, key=lambda rule: result.p99_s[rule]),
            f"{result.loads['labelbus']:,}",
        )
    return made


def heat_map(results: list[CellResult], file: Path, *, by: str = "load_runs", named: str = "load ÷ run") -> None:
    """Write an SVG: the geometric mean of the ratios by use and by another field of the cell, for mean and p99."""
    mpl.rcParams["svg.hashsalt"] = "labelbus"
    uses = sorted({result.cell.use for result in results})
    values = sorted({getattr(result.cell, by) for result in results})
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("mean", "p99"), strict=True):
        grid = [[_ratio(results, use, by, value, name) for use in uses] for value in values]
        image = axes.imshow(grid, cmap="RdYlGn_r", norm=LogNorm(*SHADES), aspect="auto", origin="lower")
        for row, ratios in enumerate(grid):
            for column, ratio in enumerate(ratios):
                axes.text(column, row, f"{ratio:.2f}" if ratio == ratio else "", ha="center", va="center", fontsize=8)
        axes.set_xticks(range(len(uses)), [f"{use:g}" for use in uses])
        axes.set_yticks(range(len(values)), [f"{value:g}" for value in values])
        axes.set(title=f"{name} ÷ best simple rule", xlabel="use by runs alone", ylabel=named)
    figure.colorbar(image, ax=figure.axes)
    figure.savefig(file, metadata={"Date": None})


def _ratio(results: list[CellResult], use: float, by: str, value: float, name: str) -> float:
    chosen = [result for result in results if (result.cell.use, getattr(result.cell, by)) == (use, value)]
    ratios = [result.mean_ratio if name == "mean" else result.p99_ratio for result in chosen]
    return statistics.geometric_mean(ratios) if ratios else float("nan")
