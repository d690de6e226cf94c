"""Random dispatch, for comparison: one queue, and competing consumers of the queue group choose the worker."""

from collections import deque
from collections.abc import Iterable

from dispatcher.router.scheduling.scheduler import QUEUE_GROUP, Place
from dispatcher.router.state.labels import Label
from dispatcher.router.state.state import RouterState
from dispatcher.router.state.workers import PoolLabel, PoolTask, Worker


class RandomScheduler:
    """Sends as many tasks as the known workers have slots; the others wait, since busy workers leave the group."""

    chooses_workers = False

    def __init__(self, state: RouterState) -> None:
        self._state = state
        self._queue: deque[PoolTask] = deque()

    def find_place(self, now: float, task: PoolTask) -> Place | None:
        """Return the queue group if a worker should be free and no task waits."""
        del now
        if self._queue or self._room() <= 0 or self._state.pool.none_runs(task.spec.task_type):
            return None
        return QUEUE_GROUP

    def start(self, now: float, task: PoolTask, place: Place) -> None:
        """Send a task to the queue group."""
        del place
        self._state.send_any(now, task)

    def enqueue(self, now: float, task: PoolTask) -> None:
        """Queue a task; one that came back goes to the front."""
        self._enqueue(now, task, 0.0)

    def enqueue_bounced(self, now: float, task: PoolTask, *, retry_after_s: float) -> None:
        """Queue a task that the queue group did not take, to be sent again after `retry_after_s` at the latest."""
        self._enqueue(now, task, retry_after_s)

    def _enqueue(self, now: float, task: PoolTask, retry_after_s: float) -> None:
        state = self._state
        state.waiting += 1
        task.queued = True
        task.label.queue_length += 1
        if self._queue and task.arrived < self._queue[0].arrived:
            self._queue.appendleft(task)
        else:
            self._queue.append(task)
        if task.spec.deadline is not None:
            state.timers.set(task.spec.deadline, task)
        if retry_after_s or not state.assigned:
            state.timers.set(now + max(retry_after_s, state.policy.contention.retry_s), task)

    def remove(self, now: float, task: PoolTask) -> None:
        """Take a waiting task out."""
        self._queue.remove(task)
        self._leave(task)
        self.ensure_progress(now)

    def remove_all(self) -> list[PoolTask]:
        """Take all waiting tasks out; return them by age."""
        tasks = list(self._queue)
        self._queue.clear()
        for task in tasks:
            self._leave(task)
        return tasks

    def serve(self, now: float, worker: Worker) -> None:
        """Send what there is room for."""
        del worker
        self.serve_queue_group(now)

    def serve_queue_group(self, now: float) -> None:
        """Send what there is room for."""
        while self._queue and self._room() > 0:
            self._send_first(now)
        self.ensure_progress(now)

    def offer(self, now: float, labels: Iterable[PoolLabel]) -> None:
        """Do nothing: no task waits for a holder."""

    def release_stranded(self, now: float) -> None:
        """Do nothing: no task waits for another worker."""

    def ensure_progress(self, now: float) -> None:
        """Set a timer if only the workers' last states hold the queue back: they may be wrong."""
        if self._queue and not self._state.assigned:
            self._state.timers.set(now + self._state.policy.contention.retry_s, self._queue[0])

    def wake(self, now: float, subject: PoolLabel | PoolTask) -> None:
        """Reject a waiting task whose deadline has passed, or send it whatever the workers last said."""
        state = self._state
        if isinstance(subject, Label):
            return
        if subject.is_late(now):
            self.remove(now, subject)
            state.reject_late(subject, now)
        elif not state.assigned:
            self._send_first(now)
        elif self._queue and self._queue[0] is subject:
            state.timers.set(now + state.policy.contention.retry_max_s, subject)
            self.serve_queue_group(now)

    def _send_first(self, now: float) -> None:
        task = self._queue.popleft()
        self._leave(task)
        if task.is_late(now):
            self._state.reject_late(task, now)
        else:
            self._state.send_any(now, task)

    def _leave(self, task: PoolTask) -> None:
        task.queued = False
        task.label.queue_length -= 1
        self._state.waiting -= 1

    def _room(self) -> int:
        pool = self._state.pool
        return pool.slots - max(len(self._state.assigned), pool.foreign)
