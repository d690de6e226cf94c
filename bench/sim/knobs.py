"""The router's remaining knobs, each halved and doubled over cells of the grid.

A knob that matters little need not be set well. All other settings keep their defaults, and the draws are the same.
"""

import statistics
from collections.abc import Callable
from multiprocessing import get_context

import msgspec
from rich.table import Table

from bench.sim.engine import Simulation
from bench.sim.grid import Cell, workload_of
from bench.sim.policies import UNLIMITED, RouterDispatcher
from bench.sim.report import quantile
from dispatcher.router import RouterPolicy

KNOBS = (
    "costs.sample",
    "costs.surge_loads",
    "costs.ahead_below_s",
    "aging.limit_loads",
    "aging.limit_drains",
    "aging.share",
    "estimates.rate_tau_s",
    "estimates.rate_floor_s",
    "estimates.load_alpha",
    "estimates.run_alpha",
)
"""Settings of `RouterPolicy` that decide which task runs where, as group and name. Limits, retries, health and what is
for several dispatchers are left out: the grid has one dispatcher, and nothing fails in it."""

FACTORS = (0.5, 2.0)


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """A knob with another value; without a knob, the defaults."""

    knob: str = ""
    value: float = 0.0

    def policy(self) -> RouterPolicy:
        """Return the router's settings with this value."""
        policy = RouterPolicy(limits=UNLIMITED)
        if not self.knob:
            return policy
        group, name = self.knob.split(".")
        changed = msgspec.structs.replace(getattr(policy, group), **{name: self.value})
        return msgspec.structs.replace(policy, **{group: changed})


class KnobResult(msgspec.Struct, frozen=True, kw_only=True):
    """Mean and p99 with another value of a knob over those with the default.

    `mean_ratio` and `p99_ratio` are geometric means over the cells; `least_…` and `most_…` are single cells.
    """

    knob: str
    default: float
    value: float
    cells: int
    mean_ratio: float
    least_mean: float
    most_mean: float
    p99_ratio: float
    least_p99: float
    most_p99: float


def default_of(knob: str) -> float:
    """Return the default value of the knob."""
    group, name = knob.split(".")
    value: float = getattr(getattr(RouterPolicy(), group), name)
    return value


def variants() -> list[Variant]:
    """Return the defaults, and each knob at each factor; a whole number stays one."""
    made = [Variant()]
    for knob in KNOBS:
        default = default_of(knob)
        made += [Variant(knob=knob, value=type(default)(default * factor)) for factor in FACTORS]
    return made


def measure_knobs(chosen: list[Cell], *, processes: int, done: Callable[[], None]) -> list[KnobResult]:
    """Play each cell under each variant in so many processes; `done` is called after each play."""
    tried = variants()
    jobs = [(cell, variant) for cell in chosen for variant in tried]
    times: dict[Variant, list[tuple[float, float]]] = {variant: [] for variant in tried}
    with get_context("spawn").Pool(processes) as pool:
        for (_, variant), measured in zip(jobs, pool.imap(_play, jobs), strict=True):
            times[variant].append(measured)
            done()
    defaults = times[Variant()]
    return [_result(variant, times[variant], defaults) for variant in tried if variant.knob]


def _play(job: tuple[Cell, Variant]) -> tuple[float, float]:
    """Return mean and p99 of the cell in seconds."""
    cell, variant = job
    seed = 1
    ordered = sorted(
        Simulation(workload_of(cell, seed), [RouterDispatcher(variant.policy(), seed)], seed=seed).play().completion
    )
    return statistics.fmean(ordered), quantile(ordered, 0.99)


def _result(variant: Variant, measured: list[tuple[float, float]], defaults: list[tuple[float, float]]) -> KnobResult:
    means = [mean / before for (mean, _), (before, _) in zip(measured, defaults, strict=True)]
    p99s = [p99 / before for (_, p99), (_, before) in zip(measured, defaults, strict=True)]
    return KnobResult(
        knob=variant.knob,
        default=default_of(variant.knob),
        value=variant.value,
        cells=len(measured),
        mean_ratio=statistics.geometric_mean(means),
        least_mean=min(means),
        most_mean=max(means),
        p99_ratio=statistics.geometric_mean(p99s),
        least_p99=min(p99s),
        most_p99=max(p99s),
    )


def knob_table(results: list[KnobResult]) -> Table:
    """Return a table with a row for each knob and value."""
    made = Table(title=f"Each knob halved and doubled over {results[0].cells} cells: ÷ the default's mean and p99")
    for column in ("knob", "default", "value", "mean", "least … most", "p99", "least … most"):
        made.add_column(column, justify="left" if column == "knob" else "right")
    for result in results:
        made.add_row(
            result.knob,
            f"{result.default:g}",
            f"{result.value:g}",
            f"{result.mean_ratio:.3f}",
            f"{result.least_mean:.2f} … {result.most_mean:.2f}",
            f"{result.p99_ratio:.3f}",
            f"{result.least_p99:.2f} … {result.most_p99:.2f}",
        )
    return made
