"""Tasks of the queue group that no worker has named yet, and when they count as lost. Pure.

The server tells nobody which worker the queue group chose. So a *query* pings all workers, and one that names a task in
its answer has it from then on. A task that none of the known workers names, in two queries that all of them answered,
was with a worker that is gone, or was lost on the way. A worker that does not answer the query is pinged by itself:
"no responders" then says at once that it was killed.
"""

import math
from collections.abc import Collection
from typing import Final

import msgspec

QUERY_AFTER_S: Final = 0.2
"""Age of a task at which all workers are pinged. Tasks that are answered sooner cost no message."""

QUERY_INTERVAL_S: Final = 0.4
"""Between two queries, at most: a worker that has not answered by then holds up the next query no longer."""

DENIALS: Final = 2
"""Queries that all must have answered without naming a task: one query may overtake the task on the way."""

_ROUNDING_S: Final = 0.0015
"""Tolerance for the time of a query, which travels in whole milliseconds."""


class UnattributedTask(msgspec.Struct):
    """One task that no worker has named. `gone` are the workers that went away since it was sent."""

    sent_at: float
    denials: int = 0
    gone: tuple[str, ...] = ()

    @property
    def suspect(self) -> str:
        """The one worker that can have had the task, since all others denied it; empty if there are several."""
        return self.gone[0] if len(self.gone) == 1 else ""


class UnattributedTasks:
    """The tasks, by assignment id. Times are seconds of one monotonic clock.

    Tasks in the dict that a method returns are lost and forgotten.
    """

    def __init__(self) -> None:
        self._tasks: dict[int, UnattributedTask] = {}
        self._queried_at = -math.inf
        self._unanswered: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def add(self, now: float, assignment_id: int) -> None:
        """Enter a task that goes to the queue group."""
        self._tasks[assignment_id] = UnattributedTask(now)

    def pop(self, assignment_id: int) -> UnattributedTask | None:
        """Remove and return the task, which was answered or named by a worker; None if it is not one of these."""
        return self._tasks.pop(assignment_id, None)

    def restart_silence(self, now: float) -> None:
        """Let every task count as sent now, and drop the last query: up to now no worker could be heard."""
        self._unanswered.clear()
        for task in self._tasks.values():
            task.sent_at = now
            task.denials = 0

    def record_answer(self, worker_id: str, queried_at: float) -> dict[int, UnattributedTask]:
        """Note the worker's answer to the query of `queried_at`; the tasks that it named were popped before."""
        if queried_at < self._queried_at - _ROUNDING_S:
            return {}
        return self._strike_off(worker_id)

    def remove_worker(self, worker_id: str) -> dict[int, UnattributedTask]:
        """Note that the worker is gone."""
        for task in self._tasks.values():
            task.gone = (*task.gone, worker_id)
        return self._strike_off(worker_id)

    def unanswered(self) -> list[str]:
        """Return the known workers that have not answered the last query."""
        return sorted(self._unanswered) if self._tasks else []

    def is_query_due(self, now: float) -> bool:
        """Return whether all workers are to be pinged now."""
        oldest = next(iter(self._tasks.values()), None)
        if oldest is None or now - oldest.sent_at < QUERY_AFTER_S:
            return False
        return not self._unanswered or now - self._queried_at >= QUERY_INTERVAL_S

    def begin_query(self, now: float, known: Collection[str]) -> None:
        """Begin a query that all `known` workers must answer. If there are none, their silence proves nothing."""
        self._queried_at = now
        self._unanswered = set(known)

    def pop_overdue(self, now: float, age_s: float) -> dict[int, UnattributedTask]:
        """Remove and return the tasks that no worker has named for longer than `age_s`."""
        return self._pop_all([key for key, task in self._tasks.items() if now - task.sent_at > age_s])

    def _strike_off(self, worker_id: str) -> dict[int, UnattributedTask]:
        """Strike the worker off the query; the last one makes it a denial of each task that was sent before it."""
        if worker_id not in self._unanswered:
            return {}
        self._unanswered.discard(worker_id)
        if self._unanswered:
            return {}
        lost = []
        for assignment_id, task in self._tasks.items():
            if task.sent_at < self._queried_at - _ROUNDING_S:
                task.denials += 1
                if task.denials >= DENIALS:
                    lost.append(assignment_id)
        return self._pop_all(lost)

    def _pop_all(self, assignment_ids: list[int]) -> dict[int, UnattributedTask]:
        return {assignment_id: self._tasks.pop(assignment_id) for assignment_id in assignment_ids}
