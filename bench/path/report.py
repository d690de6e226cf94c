"""Rows and verdicts of the legs of the benchmark of the path. Pure code."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec
from rich.table import Table

from bench.history.entry import Figure
from bench.percentiles import percentile

SideName = Literal["bare", "labelbus"]

RATE_BAR: Final = 0.75
"""The least rate, as a share of the bare gateway's."""
CPU_BAR: Final = 1.4
"""The greatest CPU time of the gateway, as a multiple of the bare one's."""
P50_BAR_MS: Final = 0.25
"""The greatest difference of the median latency at one connection."""
BAR_AT: Final = 32
"""Connections at which rate and CPU time are compared."""


class MeasuredLeg(msgspec.Struct, frozen=True, kw_only=True):
    """One leg. Latencies are sorted; `cpu_s` is the CPU time of each process during the leg."""

    side: SideName
    connections: int
    seconds: float
    latencies_ms: list[float]
    cpu_s: dict[str, float]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One side at one number of connections: medians over the legs, and the least and the greatest rate."""

    side: SideName
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
    """One comparison with a bar, and whether this run met the bar."""

    name: str
    value: float
    unit: str
    text: str
    met: bool


def summarise(measured: Sequence[MeasuredLeg]) -> list[Row]:
    """Return a row for each number of connections and side, ordered by the number."""
    groups: dict[tuple[int, SideName], list[MeasuredLeg]] = defaultdict(list)
    for leg in measured:
        groups[leg.connections, leg.side].append(leg)
    return [_row(side, connections, legs) for (connections, side), legs in sorted(groups.items())]


def _row(side: SideName, connections: int, legs: Sequence[MeasuredLeg]) -> Row:
    rates = [_rate(leg) for leg in legs]
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
        p50_ms=round(_median_of(legs, 50), 3),
        p99_ms=round(_median_of(legs, 99), 3),
        cpu_us={name: round(statistics.median(_cpu_us(leg, name) for leg in legs), 1) for name in names},
    )


def _median_of(legs: Sequence[MeasuredLeg], percent: float) -> float:
    return statistics.median(percentile(leg.latencies_ms, percent) for leg in legs)


def table_of(rows: Iterable[Row]) -> Table:
    """Return the rows as a table for people; CPU times are µs a request."""
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


def verdicts(measured: Sequence[MeasuredLeg]) -> list[Verdict]:
    """Compare the two sides by round, and the median over the rounds with each bar that the legs allow.

    A round has one leg of each side, one directly after the other, so that other work of the machine slows both
    alike. Over a whole run it does not.
    """
    found: list[Verdict] = []
    if pairs := rounds(measured, BAR_AT):
        share = statistics.median(_rate(bus) / _rate(bare) for bare, bus in pairs)
        text = f"rate at {BAR_AT} connections: {share:.0%} of the bare gateway's (bar: {RATE_BAR:.0%})"
        name = f"rate at {BAR_AT} connections, of the bare gateway's"
        found.append(Verdict(name=name, value=100 * share, unit="%", text=text, met=share >= RATE_BAR))
        if all(leg.cpu_s.get("gateway") for pair in pairs for leg in pair):
            times = statistics.median(_cpu_us(bus, "gateway") / _cpu_us(bare, "gateway") for bare, bus in pairs)
            text = f"CPU of the gateway at {BAR_AT} connections: {times:.2f} × the bare one's (bar: {CPU_BAR})"
            name = f"CPU of the gateway at {BAR_AT} connections, of the bare one's"
            found.append(Verdict(name=name, value=100 * times, unit="%", text=text, met=times <= CPU_BAR))
    if pairs := rounds(measured, 1):
        more = statistics.median(
            percentile(bus.latencies_ms, 50) - percentile(bare.latencies_ms, 50) for bare, bus in pairs
        )
        text = f"p50 at 1 connection: {more:+.2f} ms beside the bare gateway's (bar: +{P50_BAR_MS})"
        name = "p50 at 1 connection, above the bare gateway's"
        found.append(Verdict(name=name, value=more, unit="ms", text=text, met=more <= P50_BAR_MS))
    return found


def figures_of(found: Iterable[Verdict]) -> dict[str, Figure]:
    """Return the compared values for the history."""
    return {verdict.name: Figure(round(verdict.value, 3), verdict.unit) for verdict in found}


def rounds(measured: Sequence[MeasuredLeg], connections: int) -> list[tuple[MeasuredLeg, MeasuredLeg]]:
    """Pair the legs at this number of connections: bare and labelbus of each round."""
    of: dict[SideName, list[MeasuredLeg]] = {"bare": [], "labelbus": []}
    for leg in measured:
        if leg.connections == connections:
            of[leg.side].append(leg)
    return list(zip(of["bare"], of["labelbus"], strict=True))


def _rate(leg: MeasuredLeg) -> float:
    return len(leg.latencies_ms) / leg.seconds


def _cpu_us(leg: MeasuredLeg, process: str) -> float:
    return leg.cpu_s.get(process, 0.0) / len(leg.latencies_ms) * 1e6
