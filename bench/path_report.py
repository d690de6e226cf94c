"""What the legs of `bench.path` come to. Pure code."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec
from rich.table import Table

Side = Literal["bare", "labelbus"]

RATE_BAR: Final = 0.75
CPU_BAR: Final = 1.4
P50_BAR_MS: Final = 0.25
BAR_AT: Final = 32
"""Connections at which rate and CPU are compared."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One leg. Latencies are sorted; `cpu_s` is the CPU of each process during it."""

    side: Side
    connections: int
    seconds: float
    latencies_ms: list[float]
    cpu_s: dict[str, float]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One side at one number of connections: medians over the legs, and the least and greatest rate."""

    side: Side
    connections: int
    legs: int
    requests: int
    rate: float
    rate_least: float
    rate_most: float
    p50_ms: float
    p99_ms: float
    cpu_us: dict[str, float]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One bar, and whether this run met it."""

    text: str
    met: bool


def summarise(measured: Sequence[Measured]) -> list[Row]:
    """A row for each side and number of connections, in the order of the latter."""
    groups: dict[tuple[int, Side], list[Measured]] = defaultdict(list)
    for leg in measured:
        groups[leg.connections, leg.side].append(leg)
    return [_row(side, connections, legs) for (connections, side), legs in sorted(groups.items())]


def _row(side: Side, connections: int, legs: Sequence[Measured]) -> Row:
    rates = [len(leg.latencies_ms) / leg.seconds for leg in legs]
    requests = sum(len(leg.latencies_ms) for leg in legs)
    names = dict.fromkeys(name for leg in legs for name in leg.cpu_s)
    return Row(
        side=side,
        connections=connections,
        legs=len(legs),
        requests=requests,
        rate=round(statistics.median(rates), 1),
        rate_least=round(min(rates), 1),
        rate_most=round(max(rates), 1),
        p50_ms=round(statistics.median(percentile(leg.latencies_ms, 50) for leg in legs), 3),
        p99_ms=round(statistics.median(percentile(leg.latencies_ms, 99) for leg in legs), 3),
        cpu_us={
            name: round(
                statistics.median(leg.cpu_s.get(name, 0.0) / len(leg.latencies_ms) * 1e6 for leg in legs), 1
            )
            for name in names
        },
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value below which `percent` of the sorted values lie (nearest rank); nan of none."""
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def table_of(rows: Iterable[Row]) -> Table:
    """The rows for people; CPU is µs a request."""
    rows = list(rows)
    names = list(dict.fromkeys(name for row in rows for name in row.cpu_us))
    table = Table("connections", "", "requests/s", "least … most", "p50 ms", "p99 ms", *(f"{n} µs" for n in names))
    for row in rows:
        table.add_row(
            str(row.connections),
            row.side,
            f"{row.rate:,.0f}",
            f"{row.rate_least:,.0f} … {row.rate_most:,.0f}",
            f"{row.p50_ms:.2f}",
            f"{row.p99_ms:.2f}",
            *(f"{row.cpu_us[name]:.0f}" if name in row.cpu_us else "" for name in names),
        )
    return table


def verdicts(rows: Iterable[Row]) -> list[Verdict]:
    """The bars that these rows can be held to."""
    by = {(row.connections, row.side): row for row in rows}
    found: list[Verdict] = []
    if (BAR_AT, "bare") in by and (BAR_AT, "labelbus") in by:
        bare, bus = by[BAR_AT, "bare"], by[BAR_AT, "labelbus"]
        share = bus.rate / bare.rate
        found.append(
            Verdict(
                text=f"rate at {BAR_AT} connections: {share:.0%} of the bare gateway's (bar: {RATE_BAR:.0%})",
                met=share >= RATE_BAR,
            )
        )
        if bare.cpu_us.get("gateway"):
            times = bus.cpu_us["gateway"] / bare.cpu_us["gateway"]
            found.append(
                Verdict(
                    text=f"CPU of the gateway at {BAR_AT} connections: {times:.2f} × the bare one's (bar: {CPU_BAR})",
                    met=times <= CPU_BAR,
                )
            )
    if (1, "bare") in by and (1, "labelbus") in by:
        more = by[1, "labelbus"].p50_ms - by[1, "bare"].p50_ms
        found.append(
            Verdict(
                text=f"p50 at 1 connection: {more:+.2f} ms beside the bare gateway's (bar: +{P50_BAR_MS})",
                met=more <= P50_BAR_MS,
            )
        )
    return found
