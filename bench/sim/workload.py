"""What arrives at a pool, and what it takes. All draws are made before a run, so that policies see the same ones."""

import itertools
import math
import random
from collections.abc import Callable

import msgspec

INFER_S = 0.03
INFER_SIGMA = 0.5


class Request(msgspec.Struct, frozen=True):
    """One task. `arrives` is seconds from the start; for a closed loop, from the answer to the producer's last."""

    arrives: float
    label: str
    run_s: float
    load_s: float


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """A pool and its traffic. Each of `producers` waits for its answers; with none, requests arrive in open loop."""

    name: str
    workers: int
    capacity: int
    slots: int = 1
    requests: list[Request]
    producers: int = 0
    warm: tuple[str, ...] = ()
    """Labels in the order in which they are dealt to the workers before the start."""
    labels: int = 0


def zipf(count: int, exponent: float) -> list[float]:
    """Probabilities of `count` labels, most popular first."""
    weights = [1.0 / (rank + 1) ** exponent for rank in range(count)]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def _lognormal(rng: random.Random, mean: float, sigma: float) -> float:
    return rng.lognormvariate(math.log(mean) - sigma * sigma / 2, sigma)


def _names(count: int) -> list[str]:
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
    """The published benchmark: two workers with room for two labels, two producers that wait for each answer."""
    names = _names(labels)
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
    """Poisson arrivals with Zipf popularity; `use` is the share of the workers' time that runs alone would take."""
    rate = use * workers / INFER_S
    names = _names(labels)
    chosen = rng.choices(names, zipf(labels, exponent), k=requests)
    now = 0.0
    made = []
    for label in chosen:
        now += rng.expovariate(rate)
        made.append(Request(now, label, _lognormal(rng, INFER_S, INFER_SIGMA), load_s))
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
    """One label has most of the traffic, another one every `every_s`; the rest is Zipf 1.0."""
    rate = use * workers / INFER_S
    names = _names(labels)
    rest = itertools.cycle(rng.choices(names, zipf(labels, 1.0), k=requests))
    hot = [names[int(rng.random() * labels)] for _ in range(int(requests / rate / every_s) * 2 + 4)]
    now = 0.0
    made = []
    for _ in range(requests):
        now += rng.expovariate(rate)
        label = hot[int(now / every_s)] if rng.random() < share else next(rest)
        made.append(Request(now, label, _lognormal(rng, INFER_S, INFER_SIGMA), load_s))
    first = [hot[0], *(label for label in names if label != hot[0])]
    return Workload(
        name=name, workers=workers, capacity=8, requests=made, warm=tuple(first[: workers * 8]), labels=labels
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
}
"""The workloads by name; each is made from a source of randomness and a factor for the number of requests."""
