"""Percentiles of measured values."""

import statistics
from collections.abc import Sequence

import msgspec


class Percentiles(msgspec.Struct, frozen=True, kw_only=True):
    """The mean and three percentiles of `count` values, in the unit of the values."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float


def percentiles(values: Sequence[float]) -> Percentiles:
    """Return the mean and the percentiles of the values; zeros if there are none."""
    if not values:
        return Percentiles(count=0, mean=0.0, p50=0.0, p95=0.0, p99=0.0)
    ordered = sorted(values)
    return Percentiles(
        count=len(ordered),
        mean=statistics.fmean(ordered),
        p50=percentile(ordered, 50),
        p95=percentile(ordered, 95),
        p99=percentile(ordered, 99),
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the value below which `percent` of the sorted values lie (nearest rank); nan if there are none."""
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
