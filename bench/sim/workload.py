"""Workloads: a pool and its requests, drawn before a run, so that every policy gets the same ones."""

import itertools
import math
import random
from collections.abc import Callable

import msgspec

from bench.popularity import zipf

INFER_S = 0.03
"""Mean run time."""
INFER_SIGMA = 0.5
"""Standard deviation of the run time's logarithm."""


class Request(msgspec.Struct, frozen=True):
    """One request. `arrives` is seconds from the start; in a closed loop, from the producer's last answer.

    `run_s` is what the request adds to the pass that runs it: all of its run time, unless the workload has `fixed_s`.
    """

    arrives: float
    label: str
    run_s: float
    load_s: float


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """A pool and its traffic. Each of `producers` waits for its answers; without producers, the loop is open.

    A pass of n requests of one label takes `fixed_s` and the sum of their `run_s`: a + b·n where all are alike.
    """

    name: str
    workers: int
    capacity: int
    slots: int = 1
    window: int = 0
    """Tasks that a worker takes beyond its slots."""
    overlap: bool = False
    """True: a load takes no slot."""
    pass_tasks: int = 1
    """Most tasks of one label that share a run; 1 for no passes."""
    fixed_s: float = 0.0
    """Seconds of a run whatever is in it."""
    requests: list[Request]
    producers: int = 0
    warm: tuple[str, ...] = ()
    """Labels that are loaded at the start, in the order in which the workers get them in turn."""
    labels: int = 0

    def alone_s(self, request: Request) -> float:
        """Return the seconds that the request runs if it shares its pass with no other."""
        return self.fixed_s + request.run_s


def lognormal(rng: random.Random, mean: float, sigma: float) -> float:
    """Draw from the lognormal distribution with this mean; `sigma` is the deviation of the logarithm."""
    return rng.lognormvariate(math.log(mean) - sigma * sigma / 2, sigma)


def names_of(count: int) -> list[str]:
    """Return as many names of labels, always the same."""
    return [f"label-{index}" for index in range(count)]


def published(
    name: str,
    rng: random.Random,
    *,
    labels: int,
    wait: tuple[float, float],
    times: tuple[float, float],
    requests: int = 2400,
) -> Workload:
    """Return the published benchmark: two workers for two labels each, two producers that wait for each answer."""
    names = names_of(labels)
    load_s, run_s = times
    made = [
        Request(max(0.0, rng.gauss(*wait)), names[int(rng.random() * labels)], run_s, load_s) for _ in range(requests)
    ]
    return Workload(name=name, workers=2, capacity=2, requests=made, producers=2, labels=labels)


def steady(
    name: str,
    rng: random.Random,
    *,
    workers: int,
    labels: int,
    exponent: float,
    use: float,
    load_s: float,
    requests: int,
    capacity: int = 8,
) -> Workload:
    """Return Poisson arrivals with Zipf popularity; `use` is the share of the workers' time that runs alone take."""
    rate = use * workers / INFER_S
    names = names_of(labels)
    chosen = rng.choices(names, zipf(labels, exponent), k=requests)
    now = 0.0
    made = []
    for label in chosen:
        now += rng.expovariate(rate)
        made.append(Request(now, label, lognormal(rng, INFER_S, INFER_SIGMA), load_s))
    return Workload(
        name=name,
        workers=workers,
        capacity=capacity,
        requests=made,
        warm=tuple(names[: workers * capacity]),
        labels=labels,
    )


def shifting_hot(
    name: str,
    rng: random.Random,
    *,
    load_s: float,
    requests: int,
    workers: int = 16,
    labels: int = 100,
    share: float = 0.6,
    every_s: float = 60.0,
    use: float = 0.7,
) -> Workload:
    """Return a workload in which one label has most of the traffic, a new one every `every_s`; the rest is Zipf."""
    rate = use * workers / INFER_S
    names = names_of(labels)
    rest = itertools.cycle(rng.choices(names, zipf(labels, 1.0), k=requests))
    hot = [names[int(rng.random() * labels)] for _ in range(int(requests / rate / every_s) * 2 + 4)]
    now = 0.0
    made = []
    for _ in range(requests):
        now += rng.expovariate(rate)
        label = hot[int(now / every_s)] if rng.random() < share else next(rest)
        made.append(Request(now, label, lognormal(rng, INFER_S, INFER_SIGMA), load_s))
    first = [hot[0], *(label for label in names if label != hot[0])]
    return Workload(
        name=name, workers=workers, capacity=8, requests=made, warm=tuple(first[: workers * 8]), labels=labels
    )


def uneven(
    name: str,
    rng: random.Random,
    *,
    requests: int,
    loads: tuple[float, float] = (0.1, 5.0),
    slots: int = 1,
    burst: float = 1.0,
    shift_every_s: float = math.inf,
    use: float = 0.5,
    workers: int = 16,
    labels: int = 200,
    capacity: int = 8,
) -> Workload:
    """Return a workload with Zipf 1.0, as C has it, and one difference, chosen by the arguments.

    Load times by label, log-uniform between `loads`; several slots; bursts, in which the rate is `burst` times the
    mean for 1 s in 10, at the same mean; or popularity that shifts: the ranks are shuffled every `shift_every_s`.
    """
    names = names_of(labels)
    load_s = {label: math.exp(rng.uniform(*map(math.log, loads))) for label in names}
    ranks = rng.choices(range(labels), zipf(labels, 1.0), k=requests)
    rate = use * workers * slots / INFER_S
    quiet = (10.0 - burst) / 9.0
    order = list(names)
    shifts = 0
    now = 0.0
    made = []
    for rank in ranks:
        now += rng.expovariate(rate * (burst if now % 10.0 < 1.0 else quiet))
        while now > (shifts + 1) * shift_every_s:
            shifts += 1
            rng.shuffle(order)
        label = order[rank]
        made.append(Request(now, label, lognormal(rng, INFER_S, INFER_SIGMA), load_s[label]))
    return Workload(
        name=name,
        workers=workers,
        capacity=capacity,
        slots=slots,
        requests=made,
        warm=tuple(names[: workers * capacity]),
        labels=labels,
    )


def _c(name: str, use: float, load_s: float) -> Callable[[random.Random, float], Workload]:
    return lambda rng, scale: steady(
        name, rng, workers=16, labels=200, exponent=1.0, use=use, load_s=load_s, requests=int(40_000 * scale)
    )


WORKLOADS: dict[str, Callable[[random.Random, float], Workload]] = {
    "A": lambda rng, scale: published(
        "A", rng, labels=5, wait=(2.5, 1.0), times=(0.39, 0.0875), requests=int(2400 * scale)
    ),
    "B": lambda rng, scale: published(
        "B", rng, labels=4, wait=(0.75, 1.0), times=(0.42, 0.040), requests=int(2400 * scale)
    ),
    "C:0.5": _c("C:0.5", 0.5, 1.5),
    "C:0.7": _c("C:0.7", 0.7, 1.5),
    "C:0.85": _c("C:0.85", 0.85, 1.5),
    "C':0.5": _c("C':0.5", 0.5, 0.15),
    "C':0.7": _c("C':0.7", 0.7, 0.15),
    "D": lambda rng, scale: steady(
        "D", rng, workers=1000, labels=10_000, exponent=0.9, use=0.6, load_s=1.5, requests=int(200_000 * scale)
    ),
    "F": lambda rng, scale: shifting_hot("F", rng, load_s=1.5, requests=int(50_000 * scale)),
    "F'": lambda rng, scale: shifting_hot("F'", rng, load_s=0.15, requests=int(50_000 * scale)),
    "loads": lambda rng, scale: uneven("loads", rng, requests=int(40_000 * scale)),
    "bursts": lambda rng, scale: uneven("bursts", rng, requests=int(40_000 * scale), loads=(0.5, 0.5), burst=3.0),
    "shifts": lambda rng, scale: uneven(
        "shifts", rng, requests=int(40_000 * scale), loads=(0.5, 0.5), shift_every_s=30.0, use=0.4
    ),
    "shifts'": lambda rng, scale: uneven(
        "shifts'", rng, requests=int(40_000 * scale), loads=(0.15, 0.15), shift_every_s=60.0, use=0.7
    ),
    "slots": lambda rng, scale: uneven("slots", rng, requests=int(80_000 * scale), loads=(0.5, 0.5), slots=4),
}
"""Workloads by name, each made from a source of randomness and a factor for the number of requests."""
