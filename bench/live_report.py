"""The live benchmark's results for people: the published summary, word for word, and what it did not have."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib as mpl
from rich.table import Table

from bench.producers import Asked
from bench.summary import Spread, Summary

mpl.use("svg")  # files only: no window is opened, and no display is needed

COLOURS = {"affinity": "#0066aa", "random": "#cc6600"}


def published_lines(result: Summary) -> list[str]:
    """The summary as the published benchmark prints it."""
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
    """All that is known, a column a policy."""
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
        row(f"{name} ms: p50 / p95 / p99", (_spread(getattr(r, name)) for r in results))
    row("tasks per worker", (_counts(r.tasks_per_worker) for r in results))
    row("routes", (_counts(r.routes) for r in results))
    row("seconds", (f"{r.seconds:.0f}" for r in results))
    return table


def gain(results: Sequence[Summary]) -> float | None:
    """How many times the average task runtime of affinity is that of random; None without both."""
    by = {result.policy: result.average_task_runtime_s for result in results}
    return by["random"] / by["affinity"] if by.get("random") and by.get("affinity") else None


def plot_live(runs: Sequence[tuple[Summary, Sequence[Asked]]], file: Path) -> None:
    """Misses as they add up, and how completion times are distributed, a line a policy, as SVG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    misses, times = figure.subplots(1, 2)
    for result, asked in runs:
        colour = COLOURS.get(result.policy, "#444444")
        ordered = sorted(asked, key=lambda one: one.sent_s)
        total, adding = 0, []
        for one in ordered:
            total += one.missed
            adding.append(total)
        misses.plot(range(1, len(adding) + 1), adding, color=colour, label=result.policy)
        completion = sorted(one.completion_ms for one in asked if not one.code)
        shares = [(number + 1) / len(completion) for number in range(len(completion))]
        times.plot(completion, shares, color=colour, label=result.policy)
    bound = runs[0][0].bounds.online
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


def _spread(spread: Spread) -> str:
    return f"{spread.p50:.1f} / {spread.p95:.1f} / {spread.p99:.1f}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "0"
