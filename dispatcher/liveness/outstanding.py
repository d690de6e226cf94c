"""Assignments that were sent and have no answer yet, by worker. Pure: time comes as an argument.

A request to a worker that was killed ends in nothing but a timeout, and so does a message that was on the wire when
NATS went away, in either direction. So a worker with outstanding assignments is pinged once it has been silent, or once
an assignment has been outstanding for long. "No responders" means that the worker is gone; silence, that it hangs; an
answer names the assignments that the worker has, and one that is missing from two answers was lost on the way. Tasks
that the queue group placed are with no worker known: see `dispatcher.liveness.unattributed`. A worker without
assignments is pinged in the same way while it is suspected to be gone: see `dispatcher.liveness.heartbeats`.
"""

import math
from collections.abc import Callable, Collection
from typing import Final

import msgspec

from bus.names import ANY_WORKER
from dispatcher.liveness.unattributed import QUERY_AFTER_S, UnattributedTask, UnattributedTasks

INTERVAL_S: Final = 0.4
"""Between two checks. "No responders" comes within a millisecond: a killed worker is known within twice this."""

SILENCE_S: Final = 4.0
"""A worker that answers no ping for this long hangs. Neither a load nor a long task keeps a worker from answering."""

AUDIT_S: Final = 2.0
"""A worker with an assignment older than this is pinged even if it is heard of: the task may have been lost."""

MISSES: Final = 2
"""Answers that an assignment must be missing from to count as lost: one answer may overtake the task on the way.

Answers must come most of an interval apart to count as two: those to pings that were held up are all equally old.
"""


class Ping(msgspec.Struct, frozen=True):
    """A worker to be asked for its state; `ANY_WORKER` stands for all of them."""

    worker_id: str


class WorkerHangs(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that answers no ping."""

    worker_id: str
    silent_s: float


class AssignmentLost(msgspec.Struct, frozen=True, kw_only=True):
    """An assignment that no worker has and none will answer; `worker_id` is empty if it is not known who had it."""

    assignment_id: int
    worker_id: str


Check = Ping | WorkerHangs | AssignmentLost


class _Assignment(msgspec.Struct):
    sent_at: float
    is_direct: bool
    misses: int = 0
    missed_at: float = -math.inf


class _Worker(msgspec.Struct):
    """A worker with outstanding assignments, or without if it is suspected to be gone."""

    assignments: dict[int, _Assignment]
    heard_at: float
    pinged_at: float = -1.0


class OutstandingAssignments:
    """The assignments without an answer. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._workers: dict[str, _Worker] = {}
        self._worker_of: dict[int, str] = {}
        self._unattributed = UnattributedTasks()

    def __bool__(self) -> bool:
        return bool(self._workers) or bool(self._unattributed)

    @property
    def interval_s(self) -> float:
        """Time until the next call of `check`: shorter while it is not known which worker has a task."""
        return QUERY_AFTER_S if self._unattributed else INTERVAL_S

    def add(self, now: float, assignment_id: int, worker_id: str) -> None:
        """Enter an assignment that goes to this worker, or with `ANY_WORKER` to the queue group."""
        if worker_id == ANY_WORKER:
            self._unattributed.add(now, assignment_id)
        else:
            self._attribute(now, assignment_id, worker_id, _Assignment(now, is_direct=True))

    def settle(self, assignment_id: int) -> None:
        """Remove an assignment that was answered, in whatever way."""
        worker_id = self._worker_of.pop(assignment_id, None)
        if worker_id is None:
            self._unattributed.pop(assignment_id)
        else:
            worker = self._workers[worker_id]
            del worker.assignments[assignment_id]
            if not worker.assignments:
                del self._workers[worker_id]

    def mark_alive(self, now: float, worker_id: str) -> None:
        """Note a sign of life of the worker."""
        worker = self._workers.get(worker_id)
        if worker is not None:
            worker.heard_at = now
            if not worker.assignments:
                del self._workers[worker_id]

    def suspect(self, now: float, worker_id: str) -> None:
        """Have the worker pinged from now on until there is a sign of life, though it may have no assignment."""
        if worker_id not in self._workers:
            self._workers[worker_id] = _Worker({}, heard_at=now - INTERVAL_S)

    def restart_silence(self, now: float) -> None:
        """Count every worker's silence from now on: up to now none could be heard."""
        for worker in self._workers.values():
            worker.heard_at = now
            worker.pinged_at = -1.0
        self._unattributed.restart_silence(now)

    def remove_worker(self, worker_id: str) -> list[AssignmentLost]:
        """Forget a worker that is gone; return what the queue group gave it. The router knows what was sent to it."""
        lost = _lost(self._unattributed.remove_worker(worker_id))
        worker = self._workers.pop(worker_id, None)
        for assignment_id, assignment in worker.assignments.items() if worker is not None else ():
            del self._worker_of[assignment_id]
            if not assignment.is_direct:
                lost.append(AssignmentLost(assignment_id=assignment_id, worker_id=worker_id))
        return lost

    def reconcile(
        self, now: float, worker_id: str, pinged_at: float, assignment_ids: Collection[int]
    ) -> list[AssignmentLost]:
        """Compare with what the worker says that it has, in answer to a ping of `pinged_at`; return what is lost."""
        for assignment_id in assignment_ids if self._unattributed else ():
            task = self._unattributed.pop(assignment_id)
            if task is not None:
                self._attribute(now, assignment_id, worker_id, _Assignment(task.sent_at, is_direct=False))
        self.mark_alive(now, worker_id)
        worker = self._workers.get(worker_id)
        lost = []
        for assignment_id, assignment in worker.assignments.items() if worker is not None else ():
            if assignment_id in assignment_ids:
                assignment.misses = 0
            elif assignment.sent_at < pinged_at and now - assignment.missed_at >= INTERVAL_S / 2:
                assignment.misses += 1
                assignment.missed_at = now
                if assignment.misses >= MISSES:
                    lost.append(AssignmentLost(assignment_id=assignment_id, worker_id=worker_id))
        for loss in lost:
            self.settle(loss.assignment_id)
        return lost + _lost(self._unattributed.record_answer(worker_id, pinged_at))

    def check(self, now: float, known: Callable[[], Collection[str]] = tuple) -> list[Check]:
        """Return what is to be done now; call it every `interval_s`.

        `known` returns the known workers. It is called only if a task may be with any of them.
        """
        todo: list[Check] = []
        for worker_id, worker in self._workers.items():
            if worker.pinged_at > worker.heard_at and now - worker.heard_at > SILENCE_S:
                todo.append(WorkerHangs(worker_id=worker_id, silent_s=now - worker.heard_at))
            elif _is_ping_due(now, worker):
                worker.pinged_at = now
                todo.append(Ping(worker_id))
        if self._unattributed:
            todo += _lost(self._unattributed.pop_overdue(now, SILENCE_S))
            todo += [Ping(worker_id) for worker_id in self._unattributed.unanswered()]
            if self._unattributed.is_query_due(now):
                self._unattributed.begin_query(now, known())
                todo.append(Ping(ANY_WORKER))
        return todo

    def _attribute(self, now: float, assignment_id: int, worker_id: str, assignment: _Assignment) -> None:
        self._worker_of[assignment_id] = worker_id
        worker = self._workers.get(worker_id)
        if worker is None:
            self._workers[worker_id] = _Worker({assignment_id: assignment}, now)
        else:
            worker.assignments[assignment_id] = assignment


def _is_ping_due(now: float, worker: _Worker) -> bool:
    if now - worker.heard_at >= INTERVAL_S:
        return True
    oldest = next(iter(worker.assignments.values()), None)
    if oldest is None:
        return False
    since_s = now - max(worker.pinged_at, oldest.sent_at)
    return since_s >= AUDIT_S or any(assignment.misses for assignment in worker.assignments.values())


def _lost(tasks: dict[int, UnattributedTask]) -> list[AssignmentLost]:
    return [AssignmentLost(assignment_id=key, worker_id=task.suspect) for key, task in tasks.items()]
