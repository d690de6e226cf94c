"""Tasks of the queue group that no worker has named yet, and what follows when none does. Pure.

Nobody is told whom the queue group chose. So all workers are asked, and who names a task owes it from then on. What
nobody names, though every worker that is known has answered, twice over, was with one that is gone, or was lost on the
way. Who does not answer is asked by itself: of a worker that was killed, "no responders" says so at once.
"""

import math
from collections.abc import Callable, Collection
from typing import Final

import msgspec

ASK_AFTER_S: Final = 0.2
"""All are asked when a task has had no answer for so long. Those that run shorter cost no message."""

ASK_EVERY_S: Final = 0.4
"""Who has not answered by then does not hold up the next asking."""

DENIALS: Final = 2
"""So many times everybody must have answered without naming a task: an asking may overtake it on the way."""

_ROUNDING_S: Final = 0.0015
"""The time of asking travels in whole milliseconds."""


class Unclaimed(msgspec.Struct):
    """One task that nobody has named. `gone` are the workers that went since it was sent."""

    sent_at: float
    denials: int = 0
    gone: tuple[str, ...] = ()

    @property
    def suspect(self) -> str:
        """Who must have had it, since everybody else has not; empty where that is not certain."""
        return self.gone[0] if len(self.gone) == 1 else ""


class UnclaimedTasks:
    """Times are seconds of one monotonic clock. Tasks that a method returns, by token, are lost and forgotten."""

    def __init__(self) -> None:
        self._tasks: dict[int, Unclaimed] = {}
        self._asked_at = -math.inf
        self._silent: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def sent(self, now: float, token: int) -> None:
        """A task went to the queue group."""
        self._tasks[token] = Unclaimed(now)

    def take(self, token: int) -> Unclaimed | None:
        """The task, which was answered, or named by a worker; None if it is not one of these."""
        return self._tasks.pop(token, None)

    def excuse(self, now: float) -> None:
        """Nobody can be heard: nothing follows from what was asked before."""
        self._silent.clear()
        for task in self._tasks.values():
            task.sent_at = now
            task.denials = 0

    def told(self, worker_id: str, asked_at: float) -> dict[int, Unclaimed]:
        """The worker has answered what was asked at `asked_at`; what it named was taken before."""
        if asked_at < self._asked_at - _ROUNDING_S:
            return {}
        return self._heard(worker_id)

    def gone(self, worker_id: str) -> dict[int, Unclaimed]:
        """The worker is gone."""
        for task in self._tasks.values():
            task.gone = (*task.gone, worker_id)
        return self._heard(worker_id)

    def silent(self) -> list[str]:
        """Who is known and has not answered the last asking."""
        return sorted(self._silent) if self._tasks else []

    def ask(self, now: float, known: Callable[[], Collection[str]]) -> bool:
        """True if all are to be asked now. `known` are the workers whose answers will be waited for.

        If there are none, nobody's silence says anything.
        """
        oldest = next(iter(self._tasks.values()), None)
        if (
            oldest is None
            or now - oldest.sent_at < ASK_AFTER_S
            or (self._silent and now - self._asked_at < ASK_EVERY_S)
        ):
            return False
        self._asked_at = now
        self._silent = set(known())
        return True

    def overdue(self, now: float, age_s: float) -> dict[int, Unclaimed]:
        """What nobody has named in so long a time."""
        return self._lose([token for token, task in self._tasks.items() if now - task.sent_at > age_s])

    def _heard(self, worker_id: str) -> dict[int, Unclaimed]:
        """Once the last one has answered, that counts as a denial of each task that was sent before the asking."""
        if worker_id not in self._silent:
            return {}
        self._silent.discard(worker_id)
        if self._silent:
            return {}
        lost = []
        for token, task in self._tasks.items():
            if task.sent_at < self._asked_at - _ROUNDING_S:
                task.denials += 1
                if task.denials >= DENIALS:
                    lost.append(token)
        return self._lose(lost)

    def _lose(self, tokens: list[int]) -> dict[int, Unclaimed]:
        return {token: self._tasks.pop(token) for token in tokens}
