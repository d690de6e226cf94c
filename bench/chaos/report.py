"""The verdict on a chaos run, counted from its outcomes alone, as a table and a plot over time."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.table import Table

from bench.chaos.faults import DoneFault
from bench.chaos.load import Outcome
from bench.history.entry import Figure as HistoryFigure

BIN_S: Final = 1.0
COLOURS: Final = {"kill": "#cc3333", "stop": "#dd9933", "hang": "#7744aa", "partition": "#3377bb"}


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of tasks by their end, and latencies of answered ones (seconds) before, during and after the faults.

    `retried`: answered on a later attempt, after a loss with a worker or on the bus. `resent`: sent to another gateway
    after one could not be reached or closed the connection. `refused`: 429 and 503. `failed`: 502. `late`: 504.
    `lost`: no answer at all. `wrong`: an answer of another label.
    """

    sent: int
    answered: int
    retried: int
    resent: int
    refused: int
    failed: int
    late: int
    lost: int
    wrong: int
    longest_outage_s: float
    p99_before_s: float
    p99_during_s: float
    p99_after_s: float


def verdict(outcomes: Sequence[Outcome], sent: int, calm_until: float, calm_from: float) -> Verdict:
    """Count the outcomes; faults happened between `calm_until` and `calm_from`."""
    answered = [outcome for outcome in outcomes if outcome.answered]
    ends = sorted(outcome.began + outcome.took_s for outcome in answered)
    gaps = [later - earlier for earlier, later in pairwise(ends)]
    before = [o.took_s for o in answered if o.began + o.took_s < calm_until]
    after = [o.took_s for o in answered if o.began >= calm_from]
    during = [o.took_s for o in answered if calm_until <= o.began + o.took_s and o.began < calm_from]
    statuses = [outcome.status for outcome in outcomes]
    return Verdict(
        sent=sent,
        answered=len(answered),
        retried=sum(1 for outcome in answered if outcome.attempt > 1),
        resent=sum(1 for outcome in outcomes if outcome.tries > 1),
        refused=statuses.count(429) + statuses.count(503),
        failed=statuses.count(502),
        late=statuses.count(504),
        lost=sent - len(outcomes) + statuses.count(0),
        wrong=sum(1 for outcome in outcomes if not outcome.right),
        longest_outage_s=max(gaps, default=0.0),
        p99_before_s=p99(before),
        p99_during_s=p99(during),
        p99_after_s=p99(after),
    )


def p99(values: Sequence[float]) -> float:
    """Return the 99th percentile; 0 if there are no values."""
    return sorted(values)[int(len(values) * 0.99)] if values else 0.0


def table_of(result: Verdict, faults: Sequence[DoneFault]) -> Table:
    """Return the verdict as a table for people."""
    table = Table("", "", title=f"{len(faults)} faults")
    for name in Verdict.__struct_fields__:
        value: Any = getattr(result, name)
        table.add_row(
            name.replace("_s", " (s)").replace("_", " "), f"{value:.3f}" if isinstance(value, float) else f"{value:,}"
        )
    return table


def figures_of(result: Verdict, faults: Sequence[DoneFault]) -> dict[str, HistoryFigure]:
    """Return counts and latencies for the history."""
    return {
        "sent": HistoryFigure(result.sent, ""),
        "faults": HistoryFigure(len(faults), ""),
        "lost or wrong": HistoryFigure(result.lost + result.wrong, ""),
        "refused, failed or late": HistoryFigure(result.refused + result.failed + result.late, ""),
        "longest outage": HistoryFigure(round(result.longest_outage_s, 3), "s"),
        "p99 before the faults": HistoryFigure(round(result.p99_before_s, 3), "s"),
        "p99 during the faults": HistoryFigure(round(result.p99_during_s, 3), "s"),
    }


def plot(outcomes: Sequence[Outcome], faults: Sequence[DoneFault], file: Path) -> None:
    """Write an SVG of latencies and answers a second over time, with the faults in the background."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    figure = Figure(figsize=(11, 5), layout="constrained")
    latency, rate = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    good = [outcome for outcome in outcomes if outcome.answered]
    bad = [outcome for outcome in outcomes if not outcome.answered]
    latency.scatter(
        [o.began for o in good], [o.took_s for o in good], s=3, color="#333333", label="answered", rasterized=True
    )
    latency.scatter(
        [o.began for o in bad], [o.took_s for o in bad], s=14, color="#cc0000", marker="x", label="not answered"
    )
    latency.set_yscale("log")
    latency.set_ylabel("s from request to answer")
    bins: dict[int, int] = {}
    for outcome in good:
        at = int((outcome.began + outcome.took_s) / BIN_S)
        bins[at] = bins.get(at, 0) + 1
    times = range(max(bins, default=0) + 1)
    rate.plot([at * BIN_S for at in times], [bins.get(at, 0) / BIN_S for at in times], color="#333333", lw=1)
    rate.set_ylabel("answers a second")
    rate.set_xlabel("s")
    for fault in faults:
        for axes in (latency, rate):
            axes.axvspan(fault.began, fault.ended, color=COLOURS[fault.kind], alpha=0.25, lw=0)
        latency.text(fault.began, 1.01, fault.part, transform=latency.get_xaxis_transform(), fontsize=5, rotation=60)
    kinds = [Patch(color=colour, alpha=0.25, label=kind) for kind, colour in COLOURS.items()]
    latency.legend(handles=[*latency.get_legend_handles_labels()[0], *kinds], loc="upper right", fontsize=7)
    figure.savefig(file, dpi=130)
