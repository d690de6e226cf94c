"""The results of simulations: rows, the table and the plots."""

import statistics
from pathlib import Path

import matplotlib as mpl
import msgspec
from matplotlib.figure import Figure
from rich.table import Table

from bench.history.entry import Figure as HistoryFigure

QUANTILES = [number / 200 for number in range(200)] + [0.999, 1.0]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One policy on one draw of a workload; times are seconds."""

    workload: str
    policy: str
    dispatchers: int
    seed: int
    requests: int
    misses: int
    failed: int
    bounces: int
    rate: float
    """Answers a second."""
    pass_size: float
    """Mean number of tasks in a pass."""
    mean_s: float
    p50_s: float
    p99_s: float
    max_s: float
    bound_misses: int
    bound_mean_s: float
    routes: dict[str, int]
    quantiles_s: list[float]
    wall_s: float


def quantile(ordered: list[float], q: float) -> float:
    """Return the value below which a share `q` of an ordered list lies."""
    return ordered[min(int(len(ordered) * q), len(ordered) - 1)]


def groups(rows: list[Row]) -> dict[tuple[str, str, int], list[Row]]:
    """Group the rows by workload, policy and number of dispatchers; each group has a row a seed."""
    found: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        found.setdefault((row.workload, row.policy, row.dispatchers), []).append(row)
    return found


def table(rows: list[Row]) -> Table:
    """Return a table of means over the seeds; its last column is the mean completion over the bound's."""
    made = Table(title="Simulated: means over the seeds, times in seconds")
    made.add_column("workload")
    made.add_column("policy")
    for column in ("seeds", "misses", "mean", "± sd", "p50", "p99", "max", "÷ bound", "a second", "a pass"):
        made.add_column(column, justify="right")
    last = ""
    for (workload, policy, dispatchers), group in groups(rows).items():
        if workload != last:
            if last:
                made.add_section()
            last = workload
            made.add_row(
                workload,
                "bound",
                str(len(group)),
                f"{statistics.fmean(row.bound_misses for row in group):,.1f}",
                f"{statistics.fmean(row.bound_mean_s for row in group):.4f}",
            )
        means = [row.mean_s for row in group]
        mean = statistics.fmean(means)
        made.add_row(
            "",
            policy if dispatchers == 1 else f"{policy} × {dispatchers}",
            str(len(group)),
            f"{statistics.fmean(row.misses for row in group):,.1f}",
            f"{mean:.4f}",
            f"{statistics.stdev(means):.4f}" if len(means) > 1 else "",
            f"{statistics.fmean(row.p50_s for row in group):.4f}",
            f"{statistics.fmean(row.p99_s for row in group):.3f}",
            f"{statistics.fmean(row.max_s for row in group):.2f}",
            f"{mean / statistics.fmean(row.bound_mean_s for row in group):.2f}",
            f"{statistics.fmean(row.rate for row in group):,.0f}",
            f"{statistics.fmean(row.pass_size for row in group):.1f}",
        )
    return made


def figures_of(rows: list[Row]) -> dict[str, HistoryFigure]:
    """Return the router's mean completion and misses for the history: means over the seeds."""
    figures: dict[str, HistoryFigure] = {}
    for (workload, policy, dispatchers), group in groups(rows).items():
        if policy == "labelbus":
            name = workload if dispatchers == 1 else f"{workload}, {dispatchers} dispatchers"
            mean_s = statistics.fmean(row.mean_s for row in group)
            figures[f"{name}: mean completion"] = HistoryFigure(round(mean_s, 4), "s")
            figures[f"{name}: misses"] = HistoryFigure(round(statistics.fmean(row.misses for row in group), 1), "")
    return figures


def plot(rows: list[Row], folder: Path) -> list[Path]:
    """Write an SVG for each workload: the share of requests completed within a time, by policy."""
    mpl.rcParams["svg.hashsalt"] = "labelbus"
    written: list[Path] = []
    by_group = groups(rows)
    for workload in dict.fromkeys(row.workload for row in rows):
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        for (name, policy, dispatchers), group in by_group.items():
            if name == workload:
                values = [statistics.fmean(column) for column in zip(*(row.quantiles_s for row in group), strict=True)]
                label = policy if dispatchers == 1 else f"{policy} × {dispatchers}"
                axes.plot(values, QUANTILES, label=label)
        axes.set(xscale="log", xlabel="completion, s", ylabel="share of requests", title=f"Workload {workload}")
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
        path = folder / f"completion-{workload.replace(':', '-').replace(chr(39), 'p').replace('/', '-')}.svg"
        figure.savefig(path, metadata={"Date": None})
        written.append(path)
    return written
