"""The router: events in, commands out. It reads no clock, does no I/O, and keeps no reference to either."""

import heapq
import random
from typing import Generic

from bus.errors import ConflictError
from dispatcher.router.lifecycle.learning import infer_labels, learn
from dispatcher.router.lifecycle.quarantine import Quarantine
from dispatcher.router.lifecycle.retry import PASS_ON, RunAgain, after_failure
from dispatcher.router.lifecycle.tasks import TaskLifecycle
from dispatcher.router.lifecycle.workers import WorkerLifecycle
from dispatcher.router.messages import Carried, Command, Finished, Outcome, TaskSpec, WorkerUse, WorkerView
from dispatcher.router.policy import RouterPolicy
from dispatcher.router.scheduling.late_binding import LateBindingScheduler
from dispatcher.router.scheduling.random_queue import RandomScheduler
from dispatcher.router.scheduling.scheduler import Scheduler
from dispatcher.router.state.labels import Label, Pending
from dispatcher.router.state.state import RouterState
from dispatcher.router.state.workers import PoolLabel, Worker


class Router(Generic[Carried]):
    """Decides which worker runs which task, and when. `Carried` is the type of `TaskSpec.item`.

    `now` is seconds of one monotonic clock, and never goes back. Every method returns the commands that follow from
    the event; call `tick` at `next_wake`. A task ends with a `Finished` whose `answer` is true, with a `Reject`, or
    with `cancel`; never with two of them.
    """

    def __init__(self, policy: RouterPolicy, *, rng: random.Random, now: float = 0.0) -> None:
        self.policy = policy
        self._state = RouterState(policy, rng, now)
        scheduler: Scheduler = (
            RandomScheduler(self._state) if policy.mode == "random" else LateBindingScheduler(self._state)
        )
        self._scheduler = scheduler
        self._tasks = TaskLifecycle(self._state, scheduler)
        self._workers = WorkerLifecycle(self._state, self._tasks, scheduler)

    # ── tasks ──

    def submit(self, now: float, task: TaskSpec[Carried]) -> list[Command[Carried]]:
        """Take in a new task. `ConflictError` if one with this id has no answer yet."""
        state = self._state
        if task.task_id in state.tasks:
            raise ConflictError(f"task {task.task_id} is being run already; choose another task_id")
        label: PoolLabel = state.labels.use(task.label)
        if now > state.clock.rebase_at:
            factor = state.clock.rebase(now)
            for known in state.labels:
                known.arrival_weight *= factor
        label.arrival_weight += state.clock.weight(now)
        label.arrived_at = now
        pending = Pending(task, label, now)
        state.tasks[task.task_id] = pending
        if pending.is_late(now):
            state.reject_late(pending, now)
        else:
            self._tasks.submit(now, pending)
        return state.take_commands()

    def finished(self, now: float, assignment_id: int, outcome: Outcome) -> Finished[Carried]:
        """Take in a result: a worker ran the task, or failed at it."""
        state = self._state
        assignment = state.take_back(assignment_id)
        if assignment is None:
            if outcome.view is not None:
                self._workers.seen(now, outcome.view)
            return Finished(commands=state.take_commands())
        task = assignment.task
        worker = assignment.worker
        lost: list[PoolLabel] = []
        if outcome.ok:
            learn(state, assignment, outcome)
            if worker is not None and (worker.pause_s or worker.retry_delay_s):
                self._workers.succeeded(worker)
        elif outcome.retryable and worker is not None:
            self._workers.failed(now, worker)
        if worker is not None and outcome.view is None:
            lost = infer_labels(state, worker, assignment, outcome)
        decision = None if outcome.ok else after_failure(task, outcome, state.policy.retries)
        if isinstance(decision, RunAgain):
            self._tasks.run_again(now, task, decision.attempt)
        elif not task.cancelled:
            del state.tasks[task.spec.task_id]
        self._workers.answered(now, worker, outcome.view)
        if lost:
            self._scheduler.offer(now, lost)
        return Finished(
            commands=state.take_commands(),
            assignment=assignment.command,
            requeued=decision is not None and decision is not PASS_ON,
            cancelled=task.cancelled,
        )

    def bounced(
        self, now: float, assignment_id: int, *, no_responders: bool, view: WorkerView | None = None
    ) -> list[Command[Carried]]:
        """Take in that the worker was busy, or that nobody listened: the task waits again, at its place by age."""
        state = self._state
        assignment = state.take_back(assignment_id)
        if assignment is None:
            if view is not None:
                self._workers.seen(now, view)
            return state.take_commands()
        task = assignment.task
        worker = assignment.worker
        task.bounces += 1
        if worker is None:
            if view is not None:
                self._workers.seen(now, view)
            if not task.cancelled:
                self._tasks.bounced_by_queue_group(now, task, no_responders=no_responders)
        elif no_responders:
            self._workers.gone(now, worker, refused=assignment_id)
            if not task.cancelled:
                self._tasks.bounced(now, task)
        else:
            self._workers.bounced(now, assignment, worker, view)
        self._scheduler.ensure_progress(now)
        return state.take_commands()

    def lost(self, now: float, assignment_id: int, worker_id: str) -> list[Command[Carried]]:
        """Take in that nobody will answer the assignment, though its worker is alive: it was lost on the way.

        `worker_id` is the worker that is known to have had it, or empty.
        """
        assignment = self._state.assigned.get(assignment_id)
        if assignment is not None:
            task = self._tasks.lose(now, assignment_id, worker_id)
            if task is not None:
                self._tasks.wait(now, task)
            self._workers.label_lost(now, assignment)
            self._workers.slot_freed(now, assignment.worker)
        return self._state.take_commands()

    def cancel(self, now: float, task_id: str) -> list[Command[Carried]]:
        """Cancel a task: a waiting one is dropped, a running one keeps its slot until its result comes."""
        task = self._state.tasks.pop(task_id, None)
        if task is not None:
            self._tasks.cancel(now, task)
        return self._state.take_commands()

    # ── workers ──

    def worker_seen(self, now: float, view: WorkerView) -> list[Command[Carried]]:
        """Take in what a worker says of itself: what it holds and how busy it is."""
        self._workers.seen(now, view)
        return self._state.take_commands()

    def worker_gone(self, now: float, worker_id: str) -> list[Command[Carried]]:
        """Take in that a worker is dead: the tasks that it did not answer are run elsewhere, or rejected."""
        worker = self._state.pool.find(worker_id)
        if worker is not None:
            self._workers.gone(now, worker)
        return self._state.take_commands()

    def registry_lost(self, now: float) -> list[Command[Carried]]:
        """Take in that the registry is out of reach: known workers stay known, and no task type is called unknown."""
        del now
        self._tasks.set_registry(reachable=False)
        return self._state.take_commands()

    def registry_found(self, now: float) -> list[Command[Carried]]:
        """Take in that the registry can be read again."""
        del now
        self._tasks.set_registry(reachable=True)
        return self._state.take_commands()

    # ── time ──

    def tick(self, now: float) -> list[Command[Carried]]:
        """Do what is due; safe to call at any time."""
        state = self._state
        while (subject := state.timers.due(now)) is not None:
            if isinstance(subject, Worker):
                self._workers.wake(now, subject)
            elif isinstance(subject, Quarantine):
                self._workers.release_quarantined(now)
            elif isinstance(subject, Pending):
                self._tasks.wake_task(now, subject)
            elif isinstance(subject, Label):
                self._scheduler.wake(now, subject)
        return state.take_commands()

    def next_wake(self) -> float | None:
        """Return when `tick` should be called next; None: only after another event."""
        return self._state.timers.next()

    # ── what there is to see ──

    @property
    def waiting(self) -> int:
        """Tasks that wait for a worker, those in quarantine among them."""
        return self._state.waiting + len(self._workers.quarantined())

    @property
    def running(self) -> int:
        """Tasks that are with a worker, or with the queue group."""
        return len(self._state.assigned)

    def waiting_of(self, label: str) -> int:
        """Return how many tasks wait with this label, of types that every worker runs."""
        known = self._state.labels.find(label)
        return 0 if known is None else known.queue_length

    def workers(self) -> list[WorkerView]:
        """Return the last view of each known worker, by id."""
        return [worker.view for worker in sorted(self._state.pool, key=lambda worker: worker.worker_id)]

    def broken_workers(self) -> list[str]:
        """Return the ids of the workers that refuse everything though they say that they are free, sorted."""
        return sorted(worker.worker_id for worker in self._state.pool if worker.broken)

    def uses(self) -> list[WorkerUse]:
        """Return how each known worker is used. `running` counts places that are taken ahead."""
        return [
            WorkerUse(
                worker_id=worker.worker_id,
                slots=worker.slots,
                capacity=worker.capacity,
                running=min(worker.places + worker.foreign, worker.slots + worker.window),
                labels=len(worker.labels),
                loading=len(worker.loading),
                draining=worker.draining,
            )
            for worker in self._state.pool
        ]

    def longest_queues(self, at_most: int) -> list[tuple[str, int]]:
        """Return the labels that most tasks wait with, and how many, of types that every worker runs."""
        queues = ((label.queue_length, label.name) for label in self._state.labels if label.queue_length)
        return [(name, count) for count, name in heapq.nlargest(at_most, queues)]

    def holders(self, label: str) -> list[str]:
        """Return the ids of the workers that hold the label, or load it, and take tasks."""
        known = self._state.labels.find(label)
        return [] if known is None else sorted(worker.worker_id for worker in known.holders)

    def held(self) -> dict[str, list[str]]:
        """Return the held labels, each with the ids of its holders."""
        return {label.name: self.holders(label.name) for label in self._state.labels if label.holders}

    def expected_ms(self, label: str) -> tuple[float, float]:
        """Return the load and run time of the label that are expected now."""
        known = self._state.labels.find(label) or Label(label)
        return self._state.load_s(known) * 1e3, self._state.run_s(known) * 1e3
