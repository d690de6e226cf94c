"""How few misses there can be. Pure code.

A pool of workers is taken as one memory with room for workers × capacity labels, any of which can be used at any
time: no pool can do better. Requests are not held back to be sorted by label.
"""

import random
import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import msgspec

from bench.arrivals import draw

TIE_RUNS: Final = 100
DRAWS: Final = 400


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """Misses that are left to the best policy."""

    online: float
    """Of a policy that knows how popular each label is, but not what comes next, on exactly these arrivals."""
    expected: float
    """The same over all arrivals of this kind: 483 of 2,400 for 5 equal labels and room for 4."""
    clairvoyant: int
    """Of a policy that knows what comes next, on exactly these arrivals."""


def bounds(arrivals: Sequence[int], shares: Sequence[float], room: int, *, seed: int = 0) -> Bounds:
    """The bounds for labels in the order of their arrival."""
    rng = random.Random(seed)
    return Bounds(
        online=statistics.fmean(online_misses(arrivals, shares, room, rng) for _ in range(TIE_RUNS)),
        expected=statistics.fmean(
            online_misses(draw(rng, shares, len(arrivals)), shares, room, rng) for _ in range(DRAWS)
        ),
        clairvoyant=clairvoyant_misses(arrivals, room),
    )


def online_misses(arrivals: Sequence[int], shares: Sequence[float], room: int, rng: random.Random) -> int:
    """Misses of the policy that gives up the least popular label; of equals, one at random.

    No policy that sees only the past does better on average when requests are independent draws (A₀ of Aho, Denning
    and Ullman, "Principles of Optimal Page Replacement", J. ACM 18, 1971).
    """
    held: list[int] = []
    misses = 0
    for label in arrivals:
        if label in held:
            continue
        misses += 1
        if len(held) >= room:
            least = min(shares[other] for other in held)
            held.remove(rng.choice([other for other in held if shares[other] == least]))
        held.append(label)
    return misses


def clairvoyant_misses(arrivals: Sequence[int], room: int) -> int:
    """Misses of the policy that gives up the label that is wanted again last (Belady's)."""
    later: dict[int, list[int]] = defaultdict(list)
    for position in range(len(arrivals) - 1, -1, -1):
        later[arrivals[position]].append(position)
    held: set[int] = set()
    misses = 0
    for label in arrivals:
        later[label].pop()
        if label in held:
            continue
        misses += 1
        if len(held) >= room:
            held.remove(max(held, key=lambda other: later[other][-1] if later[other] else len(arrivals)))
        held.add(label)
    return misses
