"""The figures of each side and round, their medians over the rounds, and the verdict. Pure code."""

import statistics
from collections import Counter
from collections.abc import Sequence

import msgspec

from bench.peers.measure import Leg
from bench.percentiles import percentile


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Loads and completion times (from sending a request to its answer, milliseconds) of a side in one round."""

    side: str
    round: int
    """0 for the medians over all rounds."""
    requests: int
    failed: int
    loads: float
    mean_ms: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    seconds: float
    routes: dict[str, int] = {}


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The comparison of one side with Ray Serve."""

    text: str
    met: bool


def figures(leg: Leg) -> Figures:
    """Return the figures of one leg; times are those of the requests that had a result, and zero if none had."""
    good = sorted(sent.completion_ms for sent in leg.requests if not sent.code)
    routes = Counter(sent.route for sent in leg.requests if sent.route)
    return Figures(
        side=leg.side,
        round=leg.round,
        requests=len(leg.requests),
        failed=len(leg.requests) - len(good),
        loads=leg.loads,
        mean_ms=statistics.fmean(good) if good else 0.0,
        p50_ms=percentile(good, 50) if good else 0.0,
        p99_ms=percentile(good, 99) if good else 0.0,
        max_ms=good[-1] if good else 0.0,
        seconds=max((sent.sent_s + sent.completion_ms / 1000 for sent in leg.requests), default=0.0),
        routes=dict(routes.most_common()),
    )


def medians(rounds: Sequence[Figures]) -> list[Figures]:
    """Return one row a side: the median of each figure over its rounds, and the sums of requests and failures."""
    return [_median([each for each in rounds if each.side == side]) for side in dict.fromkeys(r.side for r in rounds)]


def _median(rounds: Sequence[Figures]) -> Figures:
    def of(field: str) -> float:
        return float(statistics.median(getattr(each, field) for each in rounds))

    routes: Counter[str] = Counter()
    for each in rounds:
        routes.update(each.routes)
    return Figures(
        side=rounds[0].side,
        round=0,
        requests=sum(each.requests for each in rounds),
        failed=sum(each.failed for each in rounds),
        loads=of("loads"),
        mean_ms=of("mean_ms"),
        p50_ms=of("p50_ms"),
        p99_ms=of("p99_ms"),
        max_ms=of("max_ms"),
        seconds=of("seconds"),
        routes=dict(routes.most_common()),
    )


def verdicts(rounds: Sequence[Figures], peer: str) -> list[Verdict]:
    """Compare each other side with the peer: met if mean and p99 are below the peer's and no request failed.

    A side that is met in the medians says in how many single rounds it was as well. Empty without the peer.
    """
    rows = {row.side: row for row in medians(rounds)}
    if (theirs := rows.get(peer)) is None:
        return []
    found: list[Verdict] = []
    for side, ours in rows.items():
        if side == peer:
            continue
        single = [
            _below(a, b) for a in rounds for b in rounds if (a.side, b.side) == (side, peer) and a.round == b.round
        ]
        text = (
            f"{side}: mean {ours.mean_ms:.1f} ms, {peer} {theirs.mean_ms:.1f}; p99 {ours.p99_ms:.0f} ms, "
            f"{peer} {theirs.p99_ms:.0f}; both below in {sum(single)} of {len(single)} rounds"
        )
        if ours.failed:
            text += f"; {ours.failed} requests failed"
        found.append(Verdict(text=text, met=_below(ours, theirs) and not ours.failed))
    return found


def _below(ours: Figures, theirs: Figures) -> bool:
    return ours.mean_ms < theirs.mean_ms and ours.p99_ms < theirs.p99_ms
