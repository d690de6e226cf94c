"""A grid over pools and traffic of all kinds, to find where a simple rule beats the router.

The dimensions are those that decide which rule is best. A cell has one value of each. Cells are drawn so that each
value of a dimension occurs equally often; every draw is the same, and the coarse grid is the start of the full one.
"""

import math
import random
import statistics
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from typing import TypeVar

import msgspec

from bench.popularity import zipf
from bench.sim.engine import Simulation
from bench.sim.pass_workload import PASS_TASKS
from bench.sim.policies import ONE_AT_A_TIME, WINDOW_0, dispatcher_for, workload_for
from bench.sim.report import quantile
from bench.sim.workload import INFER_S, INFER_SIGMA, Request, Workload

T = TypeVar("T")

COARSE, FULL = 24, 168
COARSE_PASSES, PASSES = 6, 48
"""Cells with passes, which come after the others."""
PRODUCERS = 2, 32
"""Producers a worker in a closed loop: without passes, and with them, so that there is what to share."""
SIMPLE = ("now", WINDOW_0, "reference", "random", "smart")
"""Rules that the router is compared with. `window 0` is the router itself on workers without a window."""
MEAN_BAR, P99_BAR = 1.02, 1.10
LEAST_REQUESTS, MOST_REQUESTS = 2500, 12_000
LOADS_COVERED = 20
"""Requests of a cell arrive for as many load times, within these bounds."""
BURST, CALM = 3.0, 7 / 9
"""Rate within a burst, a tenth of the time, and outside, in means."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One cell.

    `use` is the share of the workers' time that runs alone take, `load_runs` a load time in mean run times,
    `labels_per_room` the number of labels over the number that fit into the pool.
    """

    use: float
    load_runs: float
    labels_per_room: float
    workers: int
    capacity: int
    closed: bool
    exponent: float
    traffic: str
    beside: bool
    pass_tasks: int = 1
    fixed_units: float = 0.0
    """a over b: a run of n tasks takes a + b·n, and one of a task alone as long as in cells without passes. `use` is
    the share of the capacity in full passes."""

    @property
    def fixed_s(self) -> float:
        """Seconds of a run whatever is in it: a."""
        return INFER_S * self.fixed_units / (1.0 + self.fixed_units)

    @property
    def unit_s(self) -> float:
        """Mean seconds that a task adds to its run: b."""
        return INFER_S / (1.0 + self.fixed_units)

    @property
    def capacity_rate(self) -> float:
        """Tasks a second that the workers run in full passes."""
        return self.workers / (self.fixed_s / self.pass_tasks + self.unit_s)

    def text(self) -> str:
        """Return the cell in a line."""
        return (
            f"{self.workers}×{self.capacity} use {self.use:g} load {self.load_runs:g} runs "
            f"labels {self.labels_per_room:g}× "
            f"{'closed' if self.closed else 'open'} {'zipf' if self.exponent else 'equal'} {self.traffic}"
            f"{' beside' if self.beside else ''}{f' a/b {self.fixed_units:g}' if self.pass_tasks > 1 else ''}"
        )


class CellResult(msgspec.Struct, frozen=True, kw_only=True):
    """Mean and p99 of each policy in a cell, seconds, and the loads that it took."""

    cell: Cell
    mean_s: dict[str, float]
    p99_s: dict[str, float]
    loads: dict[str, int]

    @property
    def rules(self) -> list[str]:
        """The simple rules that were measured."""
        return [rule for rule in self.mean_s if rule != "labelbus"]

    @property
    def mean_ratio(self) -> float:
        """The router's mean over that of the best simple rule."""
        return self.mean_s["labelbus"] / min(self.mean_s[rule] for rule in self.rules)

    @property
    def p99_ratio(self) -> float:
        """The router's p99 over that of the best simple rule (which may be another one)."""
        return self.p99_s["labelbus"] / min(self.p99_s[rule] for rule in self.rules)

    @property
    def is_met(self) -> bool:
        """True if no simple rule is better by more than the bars allow."""
        return self.mean_ratio <= MEAN_BAR and self.p99_ratio <= P99_BAR


def cells(count: int, seed: int = 1) -> list[Cell]:
    """Return the first cells of the grid."""
    rng = random.Random(seed)
    return _draw(
        count,
        rng,
        use=(0.01, 0.1, 0.3, 0.5, 0.7, 0.85, 0.95),
        load_runs=(1, 7, 50, 500),
        labels_per_room=(0.5, 1.25, 2, 10),
        pools=((1, 4), (2, 2), (4, 4), (16, 8), (64, 8)),
    )


def pass_cells(count: int, seed: int = 2) -> list[Cell]:
    """Return the first cells with passes, which are drawn apart, so that those without stay as they are."""
    rng = random.Random(seed)
    return _draw(
        count,
        rng,
        use=(0.1, 0.3, 0.7),
        load_runs=(1, 7, 50),
        labels_per_room=(0.5, 1.25, 2),
        pools=((1, 4), (2, 2), (4, 4), (16, 8)),
        pass_tasks=PASS_TASKS,
        fixed_units=(0.0, 1.0, 40.0),
    )


def _draw(
    count: int,
    rng: random.Random,
    *,
    use: tuple[float, ...],
    load_runs: tuple[float, ...],
    labels_per_room: tuple[float, ...],
    pools: tuple[tuple[int, int], ...],
    pass_tasks: int = 1,
    fixed_units: tuple[float, ...] = (0.0,),
) -> list[Cell]:
    """Return cells in which each value of a dimension occurs equally often."""
    uses = _column(rng, use)
    loads = _column(rng, load_runs)
    labels = _column(rng, labels_per_room)
    pool = _column(rng, pools)
    closed = _column(rng, (False, True))
    exponent = _column(rng, (0.0, 1.0))
    traffic = _column(rng, ("steady", "shifting", "bursting"))
    beside = _column(rng, (False, True))
    units = _column(rng, fixed_units)
    made = []
    for _ in range(count):
        workers, capacity = next(pool)
        made.append(
            Cell(
                use=next(uses),
                load_runs=next(loads),
                labels_per_room=next(labels),
                workers=workers,
                capacity=capacity,
                closed=next(closed),
                exponent=next(exponent),
                traffic=next(traffic),
                beside=next(beside),
                pass_tasks=pass_tasks,
                fixed_units=next(units),
            )
        )
    return made


def _column(rng: random.Random, values: tuple[T, ...]) -> Iterator[T]:
    """Yield the values for ever, each equally often, in rounds of a random order."""
    own = random.Random(rng.random())
    while True:
        yield from own.sample(values, len(values))


def workload_of(cell: Cell, seed: int) -> Workload:
    """Return the cell's workload: Poisson arrivals, or two producers a worker that wait for each answer."""
    rng = random.Random(seed)
    labels = max(2, round(cell.workers * cell.capacity * cell.labels_per_room))
    load_s = INFER_S * cell.load_runs
    rate = cell.use * cell.capacity_rate if cell.pass_tasks > 1 else cell.use * cell.workers / INFER_S
    count = int(min(max(rate * LOADS_COVERED * load_s, LEAST_REQUESTS), MOST_REQUESTS))
    span_s = count / rate
    names = [f"label-{number}" for number in range(labels)]
    order = list(names)
    producers = PRODUCERS[cell.pass_tasks > 1] * cell.workers if cell.closed else 0
    think_s = max(2 * INFER_S / cell.use - INFER_S, 0.0)
    if cell.pass_tasks > 1:
        think_s = max(producers / rate - INFER_S, 0.0)
    shifts = 0
    now = 0.0
    made = []
    for rank in rng.choices(range(labels), zipf(labels, cell.exponent), k=count):
        bursting = cell.traffic == "bursting"
        pace = (BURST if now % (span_s / 20) < span_s / 200 else CALM) if bursting else 1.0
        now += rng.expovariate(rate * pace)
        while cell.traffic == "shifting" and now > (shifts + 1) * span_s / 6:
            shifts += 1
            rng.shuffle(order)
        run_s = rng.lognormvariate(math.log(cell.unit_s) - INFER_SIGMA**2 / 2, INFER_SIGMA)
        arrives = max(0.0, rng.gauss(think_s, 0.4 * think_s)) / pace if cell.closed else now
        made.append(Request(arrives, order[rank], run_s, load_s))
    return Workload(
        name=cell.text(),
        workers=cell.workers,
        capacity=cell.capacity,
        requests=made,
        producers=producers,
        warm=tuple(names[: cell.workers * cell.capacity]),
        labels=labels,
        window=1 if cell.beside else 0,
        overlap=cell.beside,
        pass_tasks=cell.pass_tasks,
        fixed_s=cell.fixed_s,
    )


def measure(cell: Cell, seed: int = 1) -> CellResult:
    """Play the cell under the router and under each simple rule, on the same draw."""
    workload = workload_of(cell, seed)
    mean_s, p99_s, loads = {}, {}, {}
    for policy in ("labelbus", *SIMPLE, *((ONE_AT_A_TIME,) if cell.pass_tasks > 1 else ())):
        made = dispatcher_for(policy, workload, seed)
        run = Simulation(workload_for(policy, workload), [made], seed=seed).play()
        ordered = sorted(run.completion)
        mean_s[policy] = statistics.fmean(ordered)
        p99_s[policy] = quantile(ordered, 0.99)
        loads[policy] = run.misses
    return CellResult(cell=cell, mean_s=mean_s, p99_s=p99_s, loads=loads)


def measure_all(chosen: list[Cell], *, processes: int, done: Callable[[], None]) -> list[CellResult]:
    """Measure the cells in so many processes; `done` is called after each."""
    results = []
    with get_context("spawn").Pool(processes) as pool:
        for result in pool.imap(measure, chosen):
            results.append(result)
            done()
    return results


def summary(results: list[CellResult]) -> str:
    """Return how the router compares over all cells, in a sentence."""
    mean = statistics.geometric_mean([result.mean_ratio for result in results])
    p99 = statistics.geometric_mean([result.p99_ratio for result in results])
    met = sum(result.is_met for result in results)
    return (
        f"{met} of {len(results)} cells met (mean ≤ {MEAN_BAR:g} ×, p99 ≤ {P99_BAR:.2f} × the best simple rule); "
        f"geometric means {mean:.3f} × and {p99:.3f} ×"
    )
