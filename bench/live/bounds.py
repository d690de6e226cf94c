"""The least possible number of label misses. Pure code.

The pool is taken as one memory with room for workers × capacity labels, each of which can be used at any time: no
pool can do better. Requests are served in the order of their arrival.
"""

import random
import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import msgspec

from bench.live.arrivals import draw

TIE_RUNS: Final = 100
"""Runs over which random choices among equal labels are averaged."""
DRAWS: Final = 400
"""Draws of arrivals over which the expected misses are averaged."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """Misses of the best possible policies."""

    online: float
    """Of a policy that knows how popular each label is, but not which comes next, on exactly these arrivals."""
    expected: float
    """The mean of `online` over all arrivals of this kind: 483 of 2,400 for 5 equal labels and room for 4."""
    clairvoyant: int
    """Of a policy that knows all future requests, on exactly these arrivals."""


def bounds(arrivals: Sequence[int], shares: Sequence[float], room: int, *, seed: int = 0) -> Bounds:
    """Return the bounds for labels in the order of their arrival."""
    rng = random.Random(seed)
    return Bounds(
        online=statistics.fmean(online_misses(arrivals, shares, room, rng) for _ in range(TIE_RUNS)),
        expected=statistics.fmean(
            online_misses(draw(rng, shares, len(arrivals)), shares, room, rng) for _ in range(DRAWS)
        ),
        clairvoyant=clairvoyant_misses(arrivals, room),
    )


def online_misses(arrivals: Sequence[int], shares: Sequence[float], room: int, rng: random.Random) -> int:
    """Count the misses of the policy that evicts the least popular label; among equals, a random one.

    No policy that sees only the past does better on average when requests are independent draws (A₀ of Aho, Denning
    and Ullman, "Principles of Optimal Page Replacement", J. ACM 18, 1971).
    """
    loaded: list[int] = []
    misses = 0
    for label in arrivals:
        if label in loaded:
            continue
        misses += 1
        if len(loaded) >= room:
            least = min(shares[other] for other in loaded)
            loaded.remove(rng.choice([other for other in loaded if shares[other] == least]))
        loaded.append(label)
    return misses


def clairvoyant_misses(arrivals: Sequence[int], room: int) -> int:
    """Count the misses of the policy that evicts the label whose next request is farthest away (Belady's MIN)."""
    later: dict[int, list[int]] = defaultdict(list)
    for position in range(len(arrivals) - 1, -1, -1):
        later[arrivals[position]].append(position)
    loaded: set[int] = set()
    misses = 0
    for label in arrivals:
        later[label].pop()
        if label in loaded:
            continue
        misses += 1
        if len(loaded) >= room:
            loaded.remove(max(loaded, key=lambda other: later[other][-1] if later[other] else len(arrivals)))
        loaded.add(label)
    return misses
