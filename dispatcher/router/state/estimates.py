"""Estimates from events: arrival rates, load times, run times, share of the traffic. Seconds throughout."""

import math
from typing import Final

_REBASE_AT: Final = 40.0

_LARGEST_EXPONENT: Final = 700.0
"""Just below the largest one of a float: six hours without an arrival, after which every rate is as good as zero."""

_SHARE_STEPS: Final = 4000
"""Steps of revisions remembered: those of 2,000 tasks. A share of 1/4 of 2,000 has a relative error of
sqrt(0.75 / (0.25 * 2000)), about 4 %."""

_MOST_OTHERS: Final = 32.0
"""Largest ratio of all traffic to one's own that is believed: a dispatcher with few tasks knows it too badly."""


class DecayClock:
    """Exponential decay with one `exp` an event, however many rates are read.

    A label's `arrival_weight` gains `weight(now)` at each arrival; its rate is `arrival_weight * scale(now)`. Old
    arrivals lose weight because new ones gain more (forward decay: Cormode et al., ICDE 2009). The scale allows for a
    clock that is younger than its memory, so that the first rates are not too low.
    """

    __slots__ = ("_at", "_floor", "_origin", "_scale", "_start", "_tau", "_weight", "rebase_at")

    def __init__(self, now: float, tau_s: float, floor_s: float) -> None:
        self._tau = tau_s
        self._floor = floor_s
        self._origin = now
        self.rebase_at = now + _REBASE_AT * tau_s
        """Time from which every `arrival_weight` must be multiplied by what `rebase` returns (40 time constants)."""
        self._start = 1.0
        self._at = -math.inf
        self._weight = 1.0
        self._scale = 0.0
        self._advance(now)

    def _advance(self, now: float) -> None:
        self._at = now
        self._weight = math.exp(min((now - self._origin) / self._tau, _LARGEST_EXPONENT))
        least = self._weight * -math.expm1(-self._floor / self._tau)
        self._scale = 1.0 / (self._tau * max(self._weight - self._start, least))

    def weight(self, now: float) -> float:
        """Return what an arrival at `now` adds to its label's `arrival_weight`."""
        if now > self._at + 1e-3:
            self._advance(now)
        return self._weight

    def scale(self, now: float) -> float:
        """Return the arrivals per second that one unit of `arrival_weight` stands for at `now`."""
        # A millisecond is 1/30,000 of the time constant.
        if now > self._at + 1e-3:
            self._advance(now)
        return self._scale

    def rebase(self, now: float) -> float:
        """Begin the weights at 1 again; return the factor for every `arrival_weight`."""
        factor = math.exp((self._origin - now) / self._tau)
        self._start *= factor
        self._origin = now
        self.rebase_at = now + _REBASE_AT * self._tau
        self._advance(now)
        return factor


class MeanDuration:
    """Moving average of a duration over all labels: the guess for labels that have none of their own."""

    __slots__ = ("_count", "alpha", "mean")

    def __init__(self, prior_s: float, alpha: float) -> None:
        self.mean = prior_s
        self.alpha = alpha
        self._count = 0

    def observe(self, seconds: float) -> None:
        """Take one measurement in; the first ones weigh more, so that a wrong prior is soon forgotten."""
        self._count += 1
        self.mean += (seconds - self.mean) * max(self.alpha, 1.0 / self._count)


class TrafficShare:
    """The dispatcher's share of what the workers do, from how far their revisions move.

    A revision moves by one when a task is taken, when it is answered, and at each step of a load.
    """

    __slots__ = ("_all", "_own", "others")

    def __init__(self) -> None:
        self._all = 0.0
        self._own = 0.0
        self.others = 1.0
        """All traffic divided by the dispatcher's own, at least 1: the factor from its own queues to everybody's."""

    def observe(self, steps: int) -> None:
        """Count the steps that a worker's revision moved since it was last seen."""
        self._all += steps
        if self._all > _SHARE_STEPS:
            self._all *= 0.5
            self._own *= 0.5
        if self._all > _SHARE_STEPS / 16:
            self.others = min(max(self._all / (self._own + 1.0), 1.0), _MOST_OTHERS)

    def observe_own(self, steps: int) -> None:
        """Count those of the steps that this dispatcher caused."""
        self._own += steps
