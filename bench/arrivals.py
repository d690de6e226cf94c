"""What producers ask for, and when: drawn before a run, so that two policies get the same. Pure code."""

import itertools
import random
from collections.abc import Sequence

import msgspec


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """One request. `label` counts from 0, the most popular first.

    In a closed loop `wait_s` is the producer's pause after the answer; in an open one, the time since the request
    before, whatever became of that.
    """

    label: int
    wait_s: float


def popularity(labels: int, zipf: float) -> list[float]:
    """The share of each label: proportional to 1 / rank^zipf; 0 makes them equal."""
    weights = [(rank + 1) ** -zipf for rank in range(labels)]
    total = sum(weights)
    return [weight / total for weight in weights]


def closed_loop(
    *, requests: int, producers: int, shares: Sequence[float], wait_avg_s: float, wait_stddev_s: float, seed: int
) -> list[list[Planned]]:
    """The requests of each producer, in order, `requests` in all; waits are max(0, Normal(average, deviation))."""
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
    """Requests that come at random moments (Poisson), `rate` a second, whether or not earlier ones have answers."""
    rng = random.Random(f"{seed}/open")
    return [Planned(label=label, wait_s=rng.expovariate(rate)) for label in draw(rng, shares, requests)]


def draw(rng: random.Random, shares: Sequence[float], count: int) -> list[int]:
    """Labels by their shares."""
    return rng.choices(range(len(shares)), cum_weights=list(itertools.accumulate(shares)), k=count)
