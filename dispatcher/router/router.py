"""The router: events in, commands out. It reads no clock, does no I/O, and keeps no reference to either."""

import heapq
import random
from typing import Generic

from bus.errors import ConflictError
from dispatcher.router.books import Books
from dispatcher.router.fleet import Fleet
from dispatcher.router.labels import Label, Pending
from dispatcher.router.learning import infer_labels, learn
from dispatcher.router.lineup import LineUp
from dispatcher.router.matching import Matcher
from dispatcher.router.messages import Carried, Command, Finished, Outcome, TaskSpec, WorkerUse, WorkerView
from dispatcher.router.policy import RouterPolicy
from dispatcher.router.spread import Spread
from dispatcher.router.tasks import Tasks
from dispatcher.router.workers import Worker


class Router(Generic[Carried]):
    """Decides which worker runs which task, and when.

    `now` is seconds of one monotonic clock, and never goes back. Every method returns the commands that follow from
    the event; call `tick` at `next_wake`. A task ends with a `Finished` whose `answer` is true, with a `Reject`, or
    with `cancel`; never with two of them.
    """

    def __init__(self, policy: RouterPolicy, *, rng: random.Random, now: float = 0.0) -> None:
        self.policy = policy
        self._books = Books(policy, rng, now)
        self._spread = Spread(self._books) if policy.mode == "random" else None
        queue = self._spread or Matcher(self._books)
        self._tasks = Tasks(self._books, queue)
        self._fleet = Fleet(self._books, self._tasks, queue)

    # ── tasks ──

    def submit(self, now: float, task: TaskSpec[Carried]) -> list[Command[Carried]]:
        """A new task. `ConflictError` if one with this id has no answer yet."""
        books = self._books
        if task.task_id in books.tasks:
            raise ConflictError(f"task {task.task_id} is being run already; choose another task_id")
        label = books.labels.use(task.label)
        if now > books.clock.rebase_at:
            factor = books.clock.rebase(now)
            for known in books.labels:
                known.counter *= factor
        label.counter += books.clock.weight(now)
        pending = Pending(task, label, now)
        books.tasks[task.task_id] = pending
        if not books.expired(now, pending):
            self._tasks.submit(now, pending)
        return books.take_out()

    def finished(self, now: float, assignment_id: int, outcome: Outcome) -> Finished[Carried]:
        """A worker ran the task, or failed at it."""
        books = self._books
        assignment = books.take_back(assignment_id)
        if assignment is None:
            if outcome.view is not None:
                self._fleet.seen(now, outcome.view)
            return Finished(commands=books.take_out())
        task = assignment.task
        worker = assignment.worker
        again = False
        lost: list[Label] = []
        if outcome.ok:
            learn(books, assignment, outcome)
            if worker is not None:
                worker.pause_s = worker.look_delay = 0.0
        elif outcome.retryable:
            again = task.spec.retry and not task.cancelled and task.attempt < self.policy.max_attempts
            if worker is not None:
                self._fleet.pause(now, worker)
        if worker is not None and outcome.view is None:
            lost = infer_labels(books, worker, assignment, outcome)
        if again:
            task.attempt += 1
            self._tasks.wait(now, task)
        elif not task.cancelled:
            del books.tasks[task.spec.task_id]
        self._fleet.answered(now, worker, outcome.view)
        if lost:
            self._fleet.offer(now, lost)
        return Finished(
            commands=books.take_out(), assignment=assignment.command, requeued=again, cancelled=task.cancelled
        )

    def bounced(
        self, now: float, assignment_id: int, *, no_responders: bool, view: WorkerView | None = None
    ) -> list[Command[Carried]]:
        """The worker was busy, or nobody listened: the task waits again, before those that arrived after it."""
        books = self._books
        assignment = books.take_back(assignment_id)
        if assignment is None:
            if view is not None:
                self._fleet.seen(now, view)
            return books.take_out()
        task = assignment.task
        worker = assignment.worker
        task.bounces += 1
        if worker is None:
            if view is not None:
                self._fleet.seen(now, view)
            if not task.cancelled:
                self._tasks.bounced_by_all(now, task, no_responders=no_responders)
        elif no_responders:
            self._fleet.gone(now, worker, bounced=assignment_id)
            if not task.cancelled:
                self._tasks.bounced(now, task)
        else:
            self._fleet.bounced(now, assignment, worker, view)
        if self._spread is not None:
            self._spread.guard(now)
        return books.take_out()

    def lost(self, now: float, assignment_id: int, worker_id: str) -> list[Command[Carried]]:
        """Nobody will answer the assignment, though its worker is there: it, or its answer, was lost on the way.

        `worker_id` is who is known to have had it, or empty.
        """
        assignment = self._books.assigned.get(assignment_id)
        if assignment is not None:
            task = self._tasks.lose(assignment_id, worker_id)
            if task is not None:
                self._tasks.wait(now, task)
            self._fleet.answered(now, assignment.worker, None)
        return self._books.take_out()

    def cancel(self, now: float, task_id: str) -> list[Command[Carried]]:
        """Nobody wants the answer: a waiting task is dropped, a running one keeps its slot until its result comes."""
        task = self._books.tasks.pop(task_id, None)
        if task is not None:
            self._tasks.drop(now, task)
        return self._books.take_out()

    # ── workers ──

    def worker_seen(self, now: float, view: WorkerView) -> list[Command[Carried]]:
        """A worker is there, and says what it holds and how busy it is."""
        self._fleet.seen(now, view)
        return self._books.take_out()

    def worker_gone(self, now: float, worker_id: str) -> list[Command[Carried]]:
        """A worker is dead: what it had and did not answer is run elsewhere, or given up."""
        worker = self._books.pool.find(worker_id)
        if worker is not None:
            self._fleet.gone(now, worker)
        return self._books.take_out()

    def registry_lost(self, now: float) -> list[Command[Carried]]:
        """The registry is out of reach: known workers stay known, and no task type is called unknown."""
        self._tasks.registry = False
        return self._books.take_out()

    def registry_found(self, now: float) -> list[Command[Carried]]:
        """The registry is there again."""
        self._tasks.registry = True
        return self._books.take_out()

    # ── time ──

    def tick(self, now: float) -> list[Command[Carried]]:
        """Do what is due; safe to call at any time."""
        books = self._books
        while (subject := books.timers.due(now)) is not None:
            if isinstance(subject, Worker):
                self._fleet.look(now, subject)
            elif isinstance(subject, LineUp):
                self._fleet.call_up(now)
            else:
                self._tasks.look(now, subject)
        return books.take_out()

    def next_wake(self) -> float | None:
        """When `tick` should be called next; None: only after another event."""
        return self._books.timers.next()

    # ── what there is to see ──

    @property
    def waiting(self) -> int:
        """Tasks that wait for a worker."""
        return self._books.waiting + self._fleet.held_back

    @property
    def running(self) -> int:
        """Tasks that are with a worker, or with the queue group."""
        return len(self._books.assigned)

    def waiting_of(self, label: str) -> int:
        """Tasks that wait with this label, of types that every worker runs."""
        known = self._books.labels.find(label)
        return 0 if known is None else known.count

    def workers(self) -> list[WorkerView]:
        """The last view of each known worker, by id."""
        return [worker.view for worker in sorted(self._books.pool, key=lambda worker: worker.worker_id)]

    def uses(self) -> list[WorkerUse]:
        """How each known worker is used. `running` counts tasks that it took ahead."""
        return [
            WorkerUse(
                worker_id=worker.worker_id,
                slots=worker.slots,
                capacity=worker.capacity,
                running=min(len(worker.own) + worker.foreign, worker.slots + worker.window),
                labels=len(worker.labels),
                loading=len(worker.loading),
                draining=worker.draining,
            )
            for worker in self._books.pool
        ]

    def longest_queues(self, at_most: int) -> list[tuple[str, int]]:
        """The labels that most tasks wait with, and how many, of types that every worker runs."""
        queues = ((label.count, label.name) for label in self._books.labels if label.count)
        return [(name, count) for count, name in heapq.nlargest(at_most, queues)]

    def holders(self, label: str) -> list[str]:
        """The ids of the workers that hold the label, or load it, and take tasks."""
        known = self._books.labels.find(label)
        return [] if known is None else sorted(worker.worker_id for worker in known.holders)

    def held(self) -> dict[str, list[str]]:
        """The held labels, each with the ids of its holders."""
        return {label.name: self.holders(label.name) for label in self._books.labels if label.holders}

    def expected_ms(self, label: str) -> tuple[float, float]:
        """Load and run time as they are expected now."""
        known = self._books.labels.find(label) or Label(label)
        return self._books.load_s(known) * 1e3, self._books.run_s(known) * 1e3
