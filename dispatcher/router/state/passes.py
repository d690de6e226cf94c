"""Passes as the router knows them: tasks that share a run on a worker, and the run times a + b·n that were learnt."""

import math
from typing import Final

from bus.pass_times import PassTimes, PooledShare, tasks_per_place

_KINDS_REMEMBERED: Final = 64
"""Kinds of workers whose run times are told apart; workers of further kinds count as one kind."""

_OTHER_KINDS: Final = ""


class Gathering:
    """Tasks of one label that one worker has and that share runs: those of the run under way, and those of the next.

    `places` is what they take of the worker's slots and window, `since` when the first of them came. `is_open` while
    one more task would take no further place. `ends` is the worker's count of ends of tasks when the first came, if it
    found no slot free: their first pass begins after the next end at the earliest. It is negative if a slot was free.
    """

    __slots__ = ("count", "ends", "is_open", "places", "since")

    def __init__(self, now: float, ends: int) -> None:
        self.ends = ends
        self.count = 0
        self.places = 0
        self.since = now
        self.is_open = False

    def change(self, by: int, per_place: int) -> int:
        """Count so many more tasks, of which `per_place` take a place; return how many more places they take."""
        self.count += by
        places = -(-self.count // per_place)
        self.is_open = self.count < places * per_place
        more = places - self.places
        self.places = places
        return more


class PassLaw:
    """Learnt run time of one label on one kind of worker: `fixed_s` + `unit_s` · n for n tasks, `single_s` for one.

    `per_place` tasks take one place of a worker together, `limit` of them share a run. `single_s` is 0 at first.
    """

    __slots__ = ("_known", "_times", "fixed_s", "limit", "per_place", "single_s", "unit_s")

    def __init__(self, pool: PooledShare, most: int) -> None:
        self._times = PassTimes(pool)
        self._known = (math.nan, 0)
        self.single_s = self.fixed_s = self.unit_s = 0.0
        self.per_place = tasks_per_place(pool.mean, most)
        self.limit = max(1, self.per_place // 2)

    def observe(self, size: int, seconds: float, most: int) -> None:
        """Take in one of the `size` reports of a run that took `seconds`, on a worker with passes of at most `most`."""
        times = self._times
        times.observe(size, seconds, weight=1.0 / size)
        share = times.fixed_share
        single_s = self.single_s = times.single_s
        fixed_s = self.fixed_s = single_s * share if share >= 0.0 else 0.0  # NaN while unknown
        self.unit_s = single_s - fixed_s
        if self._known != (share, most):
            self._known = (share, most)
            self.per_place = tasks_per_place(share, most)
            self.limit = max(1, self.per_place // 2)

    def run_s(self, count: int) -> float:
        """Return the expected time of a run that `count` tasks are there for."""
        return self.fixed_s + self.unit_s * min(count, self.limit)


class PassLaws:
    """Kinds of workers, each with what its labels have in common: the share of a in a + b."""

    def __init__(self) -> None:
        self._pooled: dict[str, PooledShare] = {}

    def of(self, laws: dict[str, PassLaw], kind: str, most: int) -> PassLaw:
        """Return the law for workers of the kind among those of a label, `laws`; made if it is new."""
        law = laws.get(kind)
        if law is None:
            if kind not in self._pooled and len(self._pooled) >= _KINDS_REMEMBERED:
                kind = _OTHER_KINDS
            law = laws.get(kind)
        if law is None:
            law = laws[kind] = PassLaw(self._pooled.setdefault(kind, PooledShare()), most)
        return law
