"""Lifecycle of tasks: submitted, waiting, sent, come back, rejected."""

from dispatcher.router.lifecycle.retry import GiveUp, after_bounce, after_loss
from dispatcher.router.scheduling.scheduler import Scheduler
from dispatcher.router.state.labels import UNKNOWN_WORKER
from dispatcher.router.state.refusals import NoWorker, QueueFull, UnknownTaskType
from dispatcher.router.state.state import RouterState
from dispatcher.router.state.workers import PoolTask

_RETRY_AFTER_SHARE = 0.1
"""Share of the time to drain a full queue after which a client may try again: room for a tenth of the queue by then."""


class TaskLifecycle:
    """Brings tasks to the scheduler for as long as a worker may run them, and rejects the others."""

    def __init__(self, state: RouterState, scheduler: Scheduler) -> None:
        self._state = state
        self._scheduler = scheduler
        self._registry_reachable = True

    def set_registry(self, *, reachable: bool) -> None:
        """Say whether the registry can be read. While it cannot, no task type is called unknown."""
        self._registry_reachable = reachable

    def submit(self, now: float, task: PoolTask) -> None:
        """Run a new task at once, let it wait, send it to the queue group, or reject it."""
        place = self._scheduler.find_place(now, task)
        if place is not None:
            self._scheduler.start(now, task, place)
        elif self._state.pool.is_for_queue_group(task.spec.task_type):
            self._send_to_queue_group(now, task)
        elif (refusal := self._queue_full(task)) is not None:
            self._state.reject(task, refusal)
        else:
            self._scheduler.enqueue(now, task)

    def wait(self, now: float, task: PoolTask) -> None:
        """Let a task that came back wait again, or send it to the queue group if no known worker runs it."""
        # The label may have been forgotten while the task ran.
        task.label = self._state.labels.get(task.spec.label)
        if self._state.pool.is_for_queue_group(task.spec.task_type):
            self._send_to_queue_group(now, task)
        else:
            self._scheduler.enqueue(now, task)

    def run_again(self, now: float, task: PoolTask, attempt: int) -> None:
        """Let a task wait for another attempt."""
        task.attempt = attempt
        self.wait(now, task)

    def bounced(self, now: float, task: PoolTask) -> None:
        """Let a task whose worker was busy wait again, or reject it."""
        match after_bounce(now, task, self._state.policy.retries):
            case GiveUp(refusal):
                self._state.reject(task, refusal)
            case _:
                self.wait(now, task)

    def bounced_by_queue_group(self, now: float, task: PoolTask, *, no_responders: bool) -> None:
        """Offer a task that the queue group did not take to it again after a while, or reject it."""
        state = self._state
        policy = state.policy.contention
        if not state.pool.live and no_responders:
            state.reject(task, NoWorker())
            return
        match after_bounce(now, task, state.policy.retries):
            case GiveUp(refusal):
                state.reject(task, refusal)
            case _:
                retry_after_s = min(policy.retry_s * 2 ** min(task.bounces - 1, 10), policy.retry_max_s)
                task.label = state.labels.get(task.spec.label)
                self._scheduler.enqueue_bounced(now, task, retry_after_s=retry_after_s)

    def lose(self, now: float, assignment_id: int, worker_id: str) -> PoolTask | None:
        """End an assignment that nobody will answer. Return the task if it is to run again; reject it otherwise."""
        assignment = self._state.take_back(assignment_id)
        assert assignment is not None
        task = assignment.task
        if task.cancelled:
            return None
        policy = self._state.policy.retries
        lost_with = worker_id or UNKNOWN_WORKER
        decision = after_loss(task, lost_with, policy)
        task.lost = (*task.lost, lost_with)
        if isinstance(decision, GiveUp):
            self._state.reject(task, decision.refusal)
            return None
        task.attempt = decision.attempt
        task.others_until = now + policy.other_worker_s
        return task

    def cancel(self, now: float, task: PoolTask) -> None:
        """Drop a task that nobody wants the answer of; if it runs, it keeps its slot until its result comes."""
        if task.queued:
            self._scheduler.remove(now, task)
        task.cancelled = True

    def wake_task(self, now: float, task: PoolTask) -> None:
        """Act on a timer of a waiting task: to the queue group with it if no known worker runs it."""
        if self._state.pool.is_for_queue_group(task.spec.task_type) and not task.is_late(now):
            self._scheduler.remove(now, task)
            self.wait(now, task)
        else:
            self._scheduler.wake(now, task)

    def sort_again(self, now: float) -> None:
        """Put each waiting task into the queue that it belongs to, since the task types that workers run changed."""
        for task in self._scheduler.remove_all():
            self.wait(now, task)

    def flush(self, now: float) -> None:
        """Send all waiting tasks to the queue group, since no worker is known any more."""
        for task in self._scheduler.remove_all():
            if task.is_late(now):
                self._state.reject_late(task, now)
            else:
                self._state.send_any(now, task)

    def _queue_full(self, task: PoolTask) -> QueueFull | None:
        """Return a refusal if the router's queue, or the label's, is at its limit."""
        state = self._state
        limits = state.policy.limits
        for_label = task.label.queue_length
        if state.waiting < limits.max_waiting and for_label < limits.max_waiting_per_label:
            return None
        queue = state.waiting if state.waiting >= limits.max_waiting else for_label
        drain_s = queue * state.run_s(task.label) / max(1, state.pool.live)
        return QueueFull(
            label=task.spec.label,
            waiting=state.waiting,
            waiting_for_label=for_label,
            retry_after_s=min(max(drain_s * _RETRY_AFTER_SHARE, 1.0), 30.0),
        )

    def _send_to_queue_group(self, now: float, task: PoolTask) -> None:
        """Send a task that no known worker runs to the queue group; reject it if the registry says that none does."""
        if self._state.pool.live and self._registry_reachable:
            self._state.reject(task, UnknownTaskType(task.spec.task_type))
        else:
            self._state.send_any(now, task)
