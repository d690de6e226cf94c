"""The requests of a run: their labels and times, drawn before it, so that two policies get the same ones. Pure code."""

import itertools
import random
from collections.abc import Sequence

import msgspec

from bench.live.settings import TrafficSettings
from bench.popularity import zipf


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """One planned request. `label` counts from 0, the most popular first.

    In a closed loop `wait_s` is the producer's pause after the answer. In an open loop it is the time since the
    request before, whether or not that request has its answer.
    """

    label: int
    wait_s: float


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The arrivals of a run, the same for everything that is compared; one of the two lists is empty."""

    closed: list[list[Planned]]
    open: list[Planned]


def planned(traffic: TrafficSettings, seed: int) -> Plan:
    """Draw the arrivals that the settings ask for."""
    shares = zipf(traffic.labels, traffic.zipf)
    if traffic.rate:
        arrivals = open_loop(requests=traffic.requests, shares=shares, rate=traffic.rate, seed=seed)
        return Plan(closed=[], open=arrivals)
    plans = closed_loop(
        requests=traffic.requests,
        producers=traffic.producers,
        shares=shares,
        wait_avg_s=traffic.wait_avg,
        wait_stddev_s=traffic.wait_stddev,
        seed=seed,
    )
    return Plan(closed=plans, open=[])


def closed_loop(
    *, requests: int, producers: int, shares: Sequence[float], wait_avg_s: float, wait_stddev_s: float, seed: int
) -> list[list[Planned]]:
    """Return the requests of each producer, `requests` in all; waits are max(0, Normal(average, deviation))."""
    plans: list[list[Planned]] = []
    for producer in range(producers):
        rng = random.Random(f"{seed}/{producer}")
        count = requests // producers + (producer < requests % producers)
        labels = draw(rng, shares, count)
        plans.append(
            [Planned(label=label, wait_s=max(0.0, rng.normalvariate(wait_avg_s, wait_stddev_s))) for label in labels]
        )
    return plans


def open_loop(*, requests: int, shares: Sequence[float], rate: float, seed: int) -> list[Planned]:
    """Return requests at random moments (a Poisson process), `rate` a second on average."""
    rng = random.Random(f"{seed}/open")
    return [Planned(label=label, wait_s=rng.expovariate(rate)) for label in draw(rng, shares, requests)]


def draw(rng: random.Random, shares: Sequence[float], count: int) -> list[int]:
    """Draw `count` labels, each with the probability of its share."""
    return rng.choices(range(len(shares)), cum_weights=list(itertools.accumulate(shares)), k=count)
