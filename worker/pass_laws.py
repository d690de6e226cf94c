"""Run times of passes on one worker, learnt by label: plain code, no I/O and no clock."""

from collections import OrderedDict
from typing import Final

from bus.pass_times import UNKNOWN_LIMIT, PassTimes, PooledShare, best_size

LABELS: Final = 2_048
"""Labels whose law is kept; beyond, the least recently observed one is forgotten. Twice the most that a worker holds,
so that a label that is evicted and loaded again finds its law."""

TRIALS: Final = 32
"""Every so many times that tasks wait and the law is against a pass, two share one: in case the law is wrong, or has
changed. Two tasks together in one of 32 runs cost next to nothing."""


class _Law:
    """The law of one label, what follows from it, and the occasions on which it was unknown or against a pass."""

    __slots__ = ("occasions", "per_place", "times")

    def __init__(self, times: PassTimes, per_place: int) -> None:
        self.times: Final = times
        self.per_place = per_place
        self.occasions = 0


class PassLaws:
    """Laws a + b·n of the passes on one worker, with at most `pass_tasks` tasks in a pass; 1 switches passes off.

    Each label has its own law. Until passes of two sizes have told its a and b apart, the share of a is that of the
    other labels.
    """

    def __init__(self, pass_tasks: int) -> None:
        if pass_tasks < 1:
            raise ValueError("a pass has at least one task")
        self.pass_tasks: Final = pass_tasks
        self._pool = PooledShare()
        self._per_place = _most_per_place(self._pool.mean, pass_tasks)
        self._laws: OrderedDict[str, _Law] = OrderedDict()

    def observe(self, label: str, size: int, seconds: float) -> None:
        """Take in a pass of `size` tasks that ran for `seconds`; the first one after a load is slow, leave it out."""
        law = self._law(label)
        self._laws.move_to_end(label)
        law.times.observe(size, seconds)
        law.per_place = _most_per_place(law.times.fixed_share, self.pass_tasks)
        self._per_place = _most_per_place(self._pool.mean, self.pass_tasks)

    def fixed_share(self, label: str) -> float:
        """Return the share of a in the run of one task of the label, from 0 to 1; NaN while unknown."""
        law = self._laws.get(label)
        return self._pool.mean if law is None else law.times.fixed_share

    def tasks_per_place(self, label: str) -> int:
        """Return how many tasks of the label that share passes take one place together, as of its last pass."""
        law = self._laws.get(label)
        return self._per_place if law is None else law.per_place

    def next_size(self, label: str, waiting: int) -> int:
        """Return how many of the `waiting` tasks (at least 1) of the label run in the next pass: `best_size`.

        Counts the occasions on which more wait and that says nothing new of the law. While the law is unknown, every
        second of them has a pass of one task, since passes of one size never tell a from b; where the law is against
        passes, every 32nd has one of two.
        """
        if waiting == 1 or self.pass_tasks == 1:
            return 1
        share = self.fixed_share(label)
        size = best_size(waiting, share, self.pass_tasks)
        if size > 1 and share >= 0.0:
            return size
        law = self._law(label)
        law.occasions += 1
        if size > 1:
            return size if law.occasions % 2 else 1
        return 1 if law.occasions % TRIALS else 2

    def _law(self, label: str) -> _Law:
        law = self._laws.get(label)
        if law is None:
            law = self._laws[label] = _Law(PassTimes(self._pool), self._per_place)
            if len(self._laws) > LABELS:
                self._laws.popitem(last=False)
        return law


def _most_per_place(fixed_share: float, pass_tasks: int) -> int:
    """Return how many tasks may take one place together: two passes, the one that runs and the one that gathers.

    Dispatchers send fewer, by what they have learnt of all workers (bus/pass_times.py, `tasks_per_place`). The worker
    would refuse what they send if it held them to its own law, which is another while it learns and differs by chance.
    So where a pass is out of the question, b over 7·a, it takes only what they send to find that out.
    """
    if pass_tasks == 1:
        return 1
    return 2 * min(pass_tasks, UNKNOWN_LIMIT) if fixed_share < 0.125 else 2 * pass_tasks
