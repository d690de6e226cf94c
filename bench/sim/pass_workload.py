"""Workloads of passes: a run of n tasks of one label takes a + b·n, and up to `pass_tasks` of them share one.

Workers are as they are by default: one slot, one place beyond it, loads beside the runs.
"""

import random
from collections.abc import Callable

import msgspec

from bench.popularity import zipf
from bench.sim.workload import INFER_S, INFER_SIGMA, Request, Workload, lognormal, names_of

PASS_TASKS = 64
"""Most tasks in a pass."""


class Law(msgspec.Struct, frozen=True, kw_only=True):
    """Run time of passes: `fixed_s` for the run (a) and `unit_s` for each task in it (b)."""

    fixed_s: float
    unit_s: float

    def capacity(self, slots: int, pass_tasks: int = PASS_TASKS) -> float:
        """Return the tasks a second that so many slots run in full passes: no policy answers more."""
        return slots * pass_tasks / (self.fixed_s + self.unit_s * pass_tasks)


GPU = Law(fixed_s=0.008, unit_s=0.0002)
"""A run costs as much as 40 tasks: launching kernels and a round trip, on an accelerator that is far from full."""
NO_GAIN = Law(fixed_s=0.0, unit_s=INFER_S)
"""A pass takes as long as its tasks one by one."""
CPU = Law(fixed_s=0.003, unit_s=0.013)
"""A small model on two CPU cores, one sentence a task: assumed from the order of such runs, not fitted to any."""


def passes(
    name: str,
    rng: random.Random,
    *,
    law: Law,
    requests: int,
    workers: int,
    capacity: int,
    labels: int,
    exponent: float,
    use: float = 0.0,
    producers: int = 0,
    load_s: float = 0.15,
    sigma: float = INFER_SIGMA,
    pass_tasks: int = PASS_TASKS,
) -> Workload:
    """Return Poisson arrivals, or `producers` that ask again at once, with Zipf popularity.

    `use` is the share of the capacity with full passes. The b of a task is lognormal; `sigma` is its logarithm's
    deviation.
    """
    names = names_of(labels)
    now = 0.0
    made = []
    for label in rng.choices(names, zipf(labels, exponent), k=requests):
        if not producers:
            now += rng.expovariate(use * law.capacity(workers, pass_tasks))
        made.append(Request(now, label, lognormal(rng, law.unit_s, sigma), load_s))
    return Workload(
        name=name,
        workers=workers,
        capacity=capacity,
        window=1,
        overlap=True,
        pass_tasks=pass_tasks,
        fixed_s=law.fixed_s,
        requests=made,
        producers=producers,
        warm=tuple(names[: workers * capacity]),
        labels=labels,
    )


def _open(name: str, use: float) -> Callable[[random.Random, float], Workload]:
    return lambda rng, scale: passes(
        name, rng, law=GPU, requests=int(80_000 * scale), workers=4, capacity=4, labels=20, exponent=1.0, use=use
    )


PASS_WORKLOADS: dict[str, Callable[[random.Random, float], Workload]] = {
    "P:1": lambda rng, scale: passes(
        "P:1",
        rng,
        law=GPU,
        requests=int(60_000 * scale),
        workers=1,
        capacity=1,
        labels=1,
        exponent=0.0,
        producers=64,
        sigma=0.0,
    ),
    "P:20": lambda rng, scale: passes(
        "P:20",
        rng,
        law=GPU,
        requests=int(60_000 * scale),
        workers=4,
        capacity=4,
        labels=20,
        exponent=1.0,
        producers=64,
        sigma=0.0,
    ),
    "P:0.1": _open("P:0.1", 0.1),
    "P:0.3": _open("P:0.3", 0.3),
    "P:0.7": _open("P:0.7", 0.7),
    "P0": lambda rng, scale: passes(
        "P0",
        rng,
        law=NO_GAIN,
        requests=int(40_000 * scale),
        workers=16,
        capacity=8,
        labels=200,
        exponent=1.0,
        use=0.7,
    ),
    "P:cpu": lambda rng, scale: passes(
        "P:cpu", rng, law=CPU, requests=int(40_000 * scale), workers=4, capacity=4, labels=20, exponent=1.0, use=0.7
    ),
}
"""Workloads by name, each made from a source of randomness and a factor for the number of requests."""
