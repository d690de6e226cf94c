"""The live benchmark's results for people: the published summary word for word, a table, and a plot."""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib as mpl
from rich.table import Table

from bench.history.entry import Figure as HistoryFigure
from bench.live.measure import LiveRun
from bench.live.summary import Summary
from bench.percentiles import Percentiles

mpl.use("svg")  # files only: no window is opened, and no display is needed

COLOURS = {"affinity": "#0066aa", "random": "#cc6600"}


def published_lines(result: Summary) -> list[str]:
    """Return the lines that the published benchmark prints."""
    return [
        "Worker Log Summary:",
        f"  Total Label Misses: {result.total_label_misses}",
        f"  Tasks Completed: {result.tasks_completed}",
        f"  Average Task Runtime: {result.average_task_runtime_s:.4f} seconds",
        "Producer Log Summary:",
        f"  Total Requests: {result.total_requests}",
        f"  Total Failed Requests: {result.total_failed_requests}",
        f"  Total Synchronous Requests: {result.total_synchronous_requests}",
        f"  Total Dispatched Jobs: {result.total_dispatched_jobs}",
    ]


def comparison(results: Sequence[Summary]) -> Table:
    """Return a table of all figures, one column a policy."""
    table = Table("", *(result.policy for result in results))

    def row(name: str, values: Iterable[str]) -> None:
        table.add_row(name, *values)

    row("label misses", (f"{r.total_label_misses:,} of {r.tasks_completed:,}" for r in results))
    row("  bound for these arrivals", (f"{r.bounds.online:,.0f} ({r.over_bound:+.1%})" for r in results))
    row("  expected of such arrivals", (f"{r.bounds.expected:,.0f}" for r in results))
    row("  with the future known", (f"{r.bounds.clairvoyant:,}" for r in results))
    row("  joined another task's load", (f"{r.joined_loads:,}" for r in results))
    row("average task runtime, s", (f"{r.average_task_runtime_s:.4f}" for r in results))
    row("failed requests", (_counts(r.failures) for r in results))
    for name in ("completion", "queue", "load", "run"):
        row(f"{name} ms: p50 / p95 / p99", (_percentiles(getattr(r, name)) for r in results))
    row("tasks per worker", (_counts(r.tasks_per_worker) for r in results))
    row("routes", (_counts(r.routes) for r in results))
    row("seconds", (f"{r.seconds:.0f}" for r in results))
    return table


def gain(results: Sequence[Summary]) -> float | None:
    """Return the average task runtime of random divided by that of affinity; None unless both were measured."""
    by = {result.policy: result.average_task_runtime_s for result in results}
    return by["random"] / by["affinity"] if by.get("random") and by.get("affinity") else None


def figures_of(results: Sequence[Summary]) -> dict[str, HistoryFigure]:
    """Return misses and times of each policy for the history."""
    figures: dict[str, HistoryFigure] = {}
    for result in results:
        figures[f"{result.policy}: label misses"] = HistoryFigure(result.total_label_misses, "")
        figures[f"{result.policy}: bound of the misses"] = HistoryFigure(round(result.bounds.online, 1), "")
        figures[f"{result.policy}: failed requests"] = HistoryFigure(result.total_failed_requests, "")
        figures[f"{result.policy}: average task runtime"] = HistoryFigure(round(result.average_task_runtime_s, 4), "s")
        figures[f"{result.policy}: completion, p95"] = HistoryFigure(round(result.completion.p95 / 1e3, 4), "s")
    return figures


def plot_live(runs: Sequence[LiveRun], file: Path) -> None:
    """Write an SVG of the misses as they add up and of the distribution of completion times, one line a policy."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    misses, times = figure.subplots(1, 2)
    for run in runs:
        policy = run.summary.policy
        colour = COLOURS.get(policy, "#444444")
        total = list(itertools.accumulate(int(request.missed) for request in run.requests))
        misses.plot(range(1, len(total) + 1), total, color=colour, label=policy)
        completion = sorted(request.completion_ms for request in run.requests if not request.code)
        shares = [(number + 1) / len(completion) for number in range(len(completion))]
        times.plot(completion, shares, color=colour, label=policy)
    bound = runs[0].summary.bounds.online
    misses.axhline(bound, color="#888888", ls=":", label=f"bound {bound:.0f}")
    misses.set_title("label misses")
    misses.set_xlabel("requests")
    times.set_title("share of requests completed within")
    times.set_xlabel("ms")
    times.set_xscale("log")
    for axes in (misses, times):
        axes.legend()
        axes.grid(alpha=0.3)
    figure.savefig(file)


def _percentiles(values: Percentiles) -> str:
    return f"{values.p50:.1f} / {values.p95:.1f} / {values.p99:.1f}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "0"
