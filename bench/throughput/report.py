"""Rows and verdicts of the legs of the benchmark of texts a second. Pure code."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec import Struct
from rich.table import Table

from bench.history.entry import Figure
from bench.percentiles import percentile

LABELBUS: Final = "labelbus"
TRITON: Final = "tritonclient"
IN_PROCESS: Final = "in process"
BY_LENGTH: Final = "in process, by length"
ONE_AT_A_TIME: Final = "--pass-tasks 1"
PATH: Final = "path alone"

TRITON_BAR: Final = 0.95
"""The least rate at `BAR_AT` clients, as a share of tritonclient's."""
IN_PROCESS_BAR: Final = 0.85
"""The least rate at `BAR_AT` clients, as a share of the graph's in process."""
PASSES_BAR: Final = 0.9
"""The least rate, as a share of back-to-back passes or of the path's alone, whichever is less."""
GAIN_BAR: Final = 5.0
"""The least gain of passes over one task at a time, with many labels."""
BAR_AT: Final = 16


class Cell(Struct, frozen=True, kw_only=True):
    """One load, which each side gets in turn."""

    name: str
    clients: int
    texts_per_task: int = 1


class MeasuredLeg(Struct, frozen=True, kw_only=True):
    """One leg. Latencies are sorted; `cpu_s` is the CPU time of each process during the leg."""

    cell: Cell
    side: str
    seconds: float
    latencies_ms: list[float]
    cpu_s: dict[str, float]

    @property
    def rate(self) -> float:
        """Texts a second."""
        return len(self.latencies_ms) * self.cell.texts_per_task / self.seconds

    def cpu_ms(self, process: str) -> float:
        """Milliseconds of CPU a text."""
        return 1e3 * self.cpu_s.get(process, 0.0) / max(1, len(self.latencies_ms) * self.cell.texts_per_task)

    def ms(self, percent: float) -> float:
        """Percentile of the tasks' latencies."""
        return percentile(self.latencies_ms, percent)


class Row(Struct, frozen=True, kw_only=True):
    """One side in one cell: medians over the legs, and the least and the greatest rate."""

    cell: Cell
    side: str
    legs: int
    tasks: int
    texts_per_s: float
    texts_per_s_least: float
    texts_per_s_most: float
    p50_ms: float
    p99_ms: float
    cpu_ms: dict[str, float]


class Verdict(Struct, frozen=True, kw_only=True):
    """One comparison, and whether this run met its bar; None without a bar."""

    name: str
    value: float
    unit: str
    text: str
    met: bool | None = None


def summarise(measured: Sequence[MeasuredLeg]) -> list[Row]:
    """Return a row for each cell and side, in the order of measuring."""
    groups: dict[tuple[Cell, str], list[MeasuredLeg]] = defaultdict(list)
    for leg in measured:
        groups[leg.cell, leg.side].append(leg)
    cells = {cell: place for place, cell in enumerate(dict.fromkeys(cell for cell, _ in groups))}
    sides = {side: place for place, side in enumerate(dict.fromkeys(leg.side for leg in measured))}
    return [
        _row(cell, side, groups[cell, side])
        for cell, side in sorted(groups, key=lambda key: (cells[key[0]], sides[key[1]]))
    ]


def _row(cell: Cell, side: str, legs: Sequence[MeasuredLeg]) -> Row:
    rates = [leg.rate for leg in legs]
    names = dict.fromkeys(name for leg in legs for name in leg.cpu_s)
    return Row(
        cell=cell,
        side=side,
        legs=len(legs),
        tasks=sum(len(leg.latencies_ms) for leg in legs),
        texts_per_s=round(statistics.median(rates), 2),
        texts_per_s_least=round(min(rates), 2),
        texts_per_s_most=round(max(rates), 2),
        p50_ms=round(statistics.median(leg.ms(50) for leg in legs), 2),
        p99_ms=round(statistics.median(leg.ms(99) for leg in legs), 2),
        cpu_ms={name: round(statistics.median(leg.cpu_ms(name) for leg in legs), 3) for name in names},
    )


def table_of(rows: Iterable[Row]) -> Table:
    """Return the rows as a table for people; CPU times are ms a text."""
    table = Table("", "", "texts/s", "least … most", "p50 ms", "p99 ms", "CPU, ms a text")
    before = ""
    for row in rows:
        table.add_row(
            row.cell.name if row.cell.name != before else "",
            row.side,
            _number(row.texts_per_s),
            f"{_number(row.texts_per_s_least)} … {_number(row.texts_per_s_most)}",
            _number(row.p50_ms),
            _number(row.p99_ms),
            ", ".join(f"{name} {_number(ms)}" for name, ms in row.cpu_ms.items()),
        )
        before = row.cell.name
    return table


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def real_verdicts(measured: Sequence[MeasuredLeg]) -> list[Verdict]:
    """Compare labelbus with the other sides, round by round, and the medians with the bars."""
    found: list[Verdict] = []
    for cell in dict.fromkeys(leg.cell for leg in measured):
        at = f"{cell.clients} clients × {cell.texts_per_task}"
        barred = cell.clients >= BAR_AT
        for side, bar in ((TRITON, TRITON_BAR), (IN_PROCESS, IN_PROCESS_BAR), (BY_LENGTH, IN_PROCESS_BAR)):
            if share := _ratio(measured, cell, LABELBUS, side, lambda leg: leg.rate):
                has_bar = barred or side == BY_LENGTH
                met = share >= bar if has_bar else None
                text = f"rate at {at}: {share:.0%} of {side}'s" + (f" (bar: {bar:.0%})" if has_bar else "")
                found.append(
                    Verdict(name=f"rate at {at}, of {side}'s", value=100 * share, unit="%", text=text, met=met)
                )
        pairs = _pairs(measured, cell, LABELBUS, TRITON)
        if cell.clients == 1 and pairs:
            more = statistics.median(bus.ms(50) - other.ms(50) for bus, other in pairs)
            text = f"p50 at {at}: {more:+.2f} ms beside {TRITON}'s"
            found.append(Verdict(name=f"p50 at {at}, above {TRITON}'s", value=more, unit="ms", text=text))
    return found


def simulated_verdicts(
    measured: Sequence[MeasuredLeg], *, run_ms: float, item_ms: float, pass_tasks: int
) -> list[Verdict]:
    """Compare passes with one task at a time, and with what the law and the path allow."""
    law = 1e3 * pass_tasks / (run_ms + item_ms * pass_tasks) if run_ms or item_ms else float("inf")
    found: list[Verdict] = []
    for cell in dict.fromkeys(leg.cell for leg in measured):
        rates = [leg.rate for leg in measured if leg.cell == cell and leg.side == LABELBUS]
        paths = [leg.rate for leg in measured if leg.cell == cell and leg.side == PATH]
        if paths:
            path, rate = statistics.median(paths), statistics.median(rates)
            share = rate / min(law, path)
            text = (
                f"{cell.name}: {rate:,.0f} tasks/s, {share:.0%} of the least of {law:,.0f} (passes of {pass_tasks} "
                f"back to back) and {path:,.0f} (the path alone) (bar: {PASSES_BAR:.0%})"
            )
            name = f"{cell.name}: rate, of law or path"
            found.append(Verdict(name=name, value=100 * share, unit="%", text=text, met=share >= PASSES_BAR))
        if gain := _ratio(measured, cell, LABELBUS, ONE_AT_A_TIME, lambda leg: leg.rate):
            barred = not paths
            text = f"{cell.name}: {gain:.1f} × the rate of one task at a time" + (
                f" (bar: {GAIN_BAR:g})" if barred else ""
            )
            met = gain >= GAIN_BAR if barred else None
            found.append(Verdict(name=f"{cell.name}: gain of passes", value=gain, unit="×", text=text, met=met))
        if part := _ratio(measured, cell, LABELBUS, ONE_AT_A_TIME, lambda leg: leg.ms(99)):
            text = f"{cell.name}: p99 is {part:.0%} of that of one at a time (bar: below it)"
            name = f"{cell.name}: p99, of one at a time"
            found.append(Verdict(name=name, value=100 * part, unit="%", text=text, met=part < 1.0))
    return found


def figures_of(found: Iterable[Verdict]) -> dict[str, Figure]:
    """Return the compared values for the history."""
    return {verdict.name: Figure(round(verdict.value, 3), verdict.unit) for verdict in found}


def _ratio(
    measured: Sequence[MeasuredLeg], cell: Cell, side: str, other: str, value: Callable[[MeasuredLeg], float]
) -> float | None:
    """Return the median over the rounds of the side's value over the other's; None if either was not measured."""
    pairs = _pairs(measured, cell, side, other)
    return statistics.median(value(one) / value(two) for one, two in pairs) if pairs else None


def _pairs(measured: Sequence[MeasuredLeg], cell: Cell, side: str, other: str) -> list[tuple[MeasuredLeg, MeasuredLeg]]:
    legs = [leg for leg in measured if leg.cell == cell and leg.latencies_ms]
    return list(
        zip((leg for leg in legs if leg.side == side), (leg for leg in legs if leg.side == other), strict=False)
    )
