"""Run time of passes: several tasks of one label in one run of the model, which takes a + b·n for n of them.

a is the cost of a run whatever is in it (launching kernels, a round trip to the runtime), b what each task adds. On a
GPU a is much larger than b, on a small CPU it is next to nothing. Dispatchers and workers learn both from the runs.
"""

import math
from typing import Final

_IDENTIFIED: Final = 0.01
"""Least variance of 1/size from which the fit is believed: one of 16 among 80 of 1 has 0.01, 2 and 4 in turn 0.016."""

_KEPT_RUNS: Final = 256
"""Runs of one size after which the share counts as unknown, so that a few passes tell whether it still holds."""

UNKNOWN_LIMIT: Final = 4
"""Tasks in a pass while a and b are unknown: enough to tell them apart, few enough to lose little where a is 0."""


class PooledShare:
    """Moving mean of `fixed_share` over the labels of one kind of worker, for labels that have run no passes yet.

    The share is pooled and not the times: labels differ in size, and their kernels are launched alike.
    """

    __slots__ = ("mean",)

    def __init__(self) -> None:
        self.mean = math.nan

    def observe(self, share: float) -> None:
        """Take in the share of one label; the last ten weigh two thirds."""
        self.mean = share if math.isnan(self.mean) else self.mean + 0.1 * (share - self.mean)


class PassTimes:
    """Moving least-squares fit of seconds = fixed_s + unit_s · size, in constant time and memory.

    Fitted is seconds/size over 1/size, since long runs vary more. An observation counts `decay` times as much at each
    later one: at 0.97 the last 33 weigh two thirds. While all sizes are alike they tell the sum only; the share of
    `fixed_s` in it is then that of the `pool`, which learns from the labels that know theirs, or as it was last known,
    for 256 runs. After those it counts as unknown: nothing else would show that it was wrong or has changed.

    Sizes are tasks, from 1 on. With `relative` they are of any scale, such as tokens, and are alike by the variance of
    1/size over the square of its mean.
    """

    __slots__ = (
        "_decay",
        "_each",
        "_each_inverse",
        "_inverse",
        "_inverse_square",
        "_kept",
        "_pool",
        "_relative",
        "_share",
        "_weight",
    )

    def __init__(self, pool: PooledShare | None = None, *, decay: float = 0.97, relative: bool = False) -> None:
        self._pool = pool
        self._decay = decay
        self._relative = relative
        self._weight = 0.0
        # Decayed sums: of 1/size and its square, of seconds/size, and of their product.
        self._inverse = self._inverse_square = 0.0
        self._each = self._each_inverse = 0.0
        self._share = math.nan
        self._kept = 0.0

    def observe(self, size: float, seconds: float, *, weight: float = 1.0) -> None:
        """Take in a run of `size` (at least 1) that took `seconds`; each of n reports of a run has a weight of 1/n."""
        # Once a task: plain multiplications, and locals in place of attributes.
        if weight == 1.0:
            decay = self._decay
            inverse = 1.0 / size
        else:
            decay = self._decay**weight
            inverse = weight / size
        each = seconds * inverse
        total = self._weight = self._weight * decay + weight
        inverses = self._inverse = self._inverse * decay + inverse
        squares = self._inverse_square = self._inverse_square * decay + inverse / size
        times = self._each = self._each * decay + each
        products = self._each_inverse = self._each_inverse * decay + each / size
        mean = inverses / total
        variance = squares / total - mean * mean
        if variance < (_IDENTIFIED * mean * mean if self._relative else _IDENTIFIED):
            kept = self._kept = self._kept + weight
            if kept >= _KEPT_RUNS:
                self._share, self._pool, self._kept = math.nan, None, 0.0
        elif times > 0.0:
            self._kept = 0.0
            mean_each = times / total
            fixed = min(max((products / total - mean_each * mean) / variance, 0.0), mean_each / mean)
            self._share = fixed / (fixed + (mean_each - fixed * mean))
            if self._pool is not None:
                self._pool.observe(self._share)

    @property
    def is_seen(self) -> bool:
        """True after the first observation."""
        return self._weight > 0.0

    @property
    def fixed_share(self) -> float:
        """Share of `fixed_s` in a run of size 1, from 0 to 1; NaN while unknown."""
        share = self._share
        return share if share >= 0.0 or self._pool is None else self._pool.mean  # NaN is not

    @property
    def single_s(self) -> float:
        """Seconds of a run of size 1: `fixed_s` + `unit_s`; 0 before the first observation."""
        if not self._weight:
            return 0.0
        share = self.fixed_share
        if math.isnan(share):
            share = 0.0
        return self._each / (share * self._inverse + (1.0 - share) * self._weight)

    @property
    def fixed_s(self) -> float:
        """Seconds of a run whatever its size: a. 0 while unknown."""
        share = self.fixed_share
        return 0.0 if math.isnan(share) else self.single_s * share

    @property
    def unit_s(self) -> float:
        """Seconds that one more unit of size adds: b."""
        return self.single_s - self.fixed_s


def best_size(waiting: int, fixed_share: float, most: int) -> int:
    """Return how many of the tasks of a label that wait should run in one pass, at most `most` (1 for none waiting).

    n tasks in passes of k end after (n/2k + 1/2)·(a + b·k) in the mean, which is least at k = √(n·a/b). That leaves the
    tasks out that come meanwhile; larger passes serve those sooner, and twice as many cost at most a quarter of what k
    decides. So 2·√(n·a/b): 1 for a ≈ 0, all that wait for n ≤ 4·a/b.
    """
    if math.isnan(fixed_share):
        return max(1, min(waiting, most, UNKNOWN_LIMIT))
    if fixed_share >= 1.0:
        return max(1, min(waiting, most))
    size = 2.0 * math.sqrt(max(waiting, 0) * fixed_share / (1.0 - fixed_share))
    return max(1, min(waiting, most, int(size)))


def tasks_per_place(fixed_share: float, most: int) -> int:
    """Return how many tasks of one label take one place of a worker (of `slots` + `window`) together.

    Twice a pass: those of the pass that runs, and those that gather for the next one meanwhile. n of them take
    ceil(n / tasks_per_place) places, so a task is admitted if a place is free, or if it takes no further one.

    1 where 3·a < b: none is bound to a worker for the sake of sharing, and each takes a place of its own. Where a < b,
    n tasks end later in one pass than one by one, (a + b·n) against (a + b)·(n + 1)/2 in the mean; but a busy pool runs
    up to (a + b)/b as many in passes. With a limit of a = b, a pool of a = b with 1.4 times the work of lone runs never
    caught up; where 3·a < b there is no more than a third to gain.
    """
    if most <= 1 or fixed_share < 0.25:
        return 1
    return 2 * best_size(most, fixed_share, most)
