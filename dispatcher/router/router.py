"""The router: events in, commands out. It reads no clock, does no I/O, and keeps no reference to either."""

import random

from bus.errors import ConflictError
from dispatcher.router.books import Books
from dispatcher.router.labels import Label, Pending
from dispatcher.router.lineup import LineUp
from dispatcher.router.matching import Matcher
from dispatcher.router.model import Command, Finished, Outcome, Reason, TaskSpec, WorkerView
from dispatcher.router.policy import RouterPolicy
from dispatcher.router.spread import Spread
from dispatcher.router.views import apply_view
from dispatcher.router.workers import Assignment, Worker


class Router:
    """Decides which worker runs which task, and when.

    `now` is seconds of one monotonic clock, and never goes back. Every method returns the commands that follow from
    the event; call `tick` at `next_wake`. A task ends with a `Finished` whose `answer` is true, with a `Reject`, or
    with `cancel`; never with two of them.
    """

    def __init__(self, policy: RouterPolicy, *, rng: random.Random, now: float = 0.0) -> None:
        self.policy = policy
        self._books = Books(policy, rng, now)
        self._matcher = Matcher(self._books)
        self._spread = Spread(self._books) if policy.mode == "random" else None
        self._line_up = LineUp(self._books.tasks, within_s=policy.line_up_s, look_s=policy.line_up_look_s)
        self._registry = True

    # ── tasks ──

    def submit(self, now: float, task: TaskSpec) -> list[Command]:
        """A new task. `ConflictError` if one with this id has no answer yet."""
        books = self._books
        if task.task_id in books.tasks:
            raise ConflictError(f"task {task.task_id} is being run already; choose another task_id")
        label = books.labels.get(task.label)
        books.labels.used(label)
        if books.clock.rebase_due(now):
            factor = books.clock.rebase(now)
            for known in books.labels:
                known.counter *= factor
        label.counter += books.clock.weight(now)
        pending = Pending(task, label, now)
        books.tasks[task.task_id] = pending
        if books.expired(now, pending):
            return books.take_out()
        if not self._none_knows(now, pending):
            queue = self._spread or self._matcher
            if not queue.submit(now, pending) and not self._full(pending):
                queue.wait(now, pending)
        return books.take_out()

    def finished(self, now: float, token: int, outcome: Outcome) -> Finished:
        """A worker ran the task, or failed at it."""
        books = self._books
        assignment = books.take_back(token)
        if assignment is None:
            if outcome.view is not None:
                self._see(now, outcome.view)
            return Finished(commands=books.take_out())
        task = assignment.task
        worker = assignment.worker
        lost: list[Label] = []
        self._learn(assignment, outcome)
        again = (
            not outcome.ok
            and outcome.retryable
            and task.spec.retry
            and not task.cancelled
            and task.attempt < self.policy.max_attempts
        )
        if worker is not None:
            if outcome.ok:
                worker.pause_s = worker.look_delay = 0.0
            elif outcome.retryable:
                self._pause(now, worker)
            if outcome.view is None:
                lost = self._infer_labels(worker, assignment, outcome)
        if again:
            task.attempt += 1
            self._wait(now, task)
        elif not task.cancelled:
            del books.tasks[task.spec.task_id]
        self._refresh(now, worker, outcome.view)
        self._offer(now, lost)
        return Finished(
            commands=books.take_out(), assignment=assignment.command, requeued=again, cancelled=task.cancelled
        )

    def bounced(self, now: float, token: int, *, no_responders: bool, view: WorkerView | None = None) -> list[Command]:
        """The worker was busy, or nobody listened: the task waits again, before those that arrived after it."""
        books = self._books
        assignment = books.take_back(token)
        if assignment is None:
            if view is not None:
                self._see(now, view)
            return books.take_out()
        task = assignment.task
        worker = assignment.worker
        task.bounces += 1
        if worker is None:
            if view is not None:
                self._see(now, view)
            if not task.cancelled:
                self._bounced_by_all(now, task, no_responders=no_responders)
        elif no_responders:
            self._gone(now, worker, bounced=token)
            if not task.cancelled:
                self._wait_or_give_up(now, task)
        else:
            self._bounced_by(now, worker, assignment, view)
        if self._spread is not None:
            self._spread.guard(now)
        return books.take_out()

    def lost(self, now: float, token: int, worker_id: str) -> list[Command]:
        """Nobody will answer the assignment, though its worker is there: it, or its answer, was lost on the way.

        `worker_id` is who is known to have had it, or empty.
        """
        books = self._books
        assignment = books.assigned.get(token)
        if assignment is not None:
            task = self._lose(token, worker_id)
            if task is not None:
                self._wait(now, task)
            self._refresh(now, assignment.worker, None)
        return books.take_out()

    def cancel(self, now: float, task_id: str) -> list[Command]:
        """Nobody wants the answer: a waiting task is dropped, a running one keeps its slot until its result comes."""
        books = self._books
        task = books.tasks.pop(task_id, None)
        if task is not None:
            if task.waiting:
                (self._spread or self._matcher).drop(now, task)
            task.cancelled = True
        return books.take_out()

    # ── workers ──

    def worker_seen(self, now: float, view: WorkerView) -> list[Command]:
        """A worker is there, and says what it holds and how busy it is."""
        self._see(now, view)
        return self._books.take_out()

    def worker_gone(self, now: float, worker_id: str) -> list[Command]:
        """A worker is dead: what it had and did not answer is run elsewhere, or given up."""
        worker = self._books.pool.find(worker_id)
        if worker is not None:
            self._gone(now, worker)
        return self._books.take_out()

    def registry_lost(self, now: float) -> list[Command]:
        """The registry is out of reach: known workers stay known, and no task type is called unknown."""
        self._registry = False
        return self._books.take_out()

    def registry_found(self, now: float) -> list[Command]:
        """The registry is there again."""
        self._registry = True
        return self._books.take_out()

    # ── time ──

    def tick(self, now: float) -> list[Command]:
        """Do what is due; safe to call at any time."""
        books = self._books
        while (subject := books.timers.due(now)) is not None:
            if isinstance(subject, Worker):
                self._look_at_worker(now, subject)
            elif isinstance(subject, LineUp):
                self._line_up_again(now, subject.due(now))
            elif isinstance(subject, Pending) and self._is_for_any(subject) and not _late(subject, now):
                (self._spread or self._matcher).drop(now, subject)
                self._wait(now, subject)
            else:
                (self._spread or self._matcher).look(now, subject)
        return books.take_out()

    def next_wake(self) -> float | None:
        """When `tick` should be called next; None: only after another event."""
        return self._books.timers.next()

    # ── what there is to see ──

    @property
    def waiting(self) -> int:
        """Tasks that wait for a worker."""
        return self._books.waiting + len(self._line_up.held())

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

    # ── inside: tasks ──

    def _full(self, task: Pending) -> bool:
        books = self._books
        policy = self.policy
        if books.waiting < policy.max_waiting and task.label.count < policy.max_waiting_per_label:
            return False
        queue = books.waiting if books.waiting >= policy.max_waiting else task.label.count
        drain_s = queue * books.run_s(task.label) / max(1, books.pool.live)
        books.reject(
            task,
            Reason.QUEUE_FULL,
            f"{books.waiting} tasks wait, {task.label.count} of them for {task.spec.label}: try again later",
            retry_after_s=min(max(drain_s * 0.1, 1.0), 30.0),
        )
        return True

    def _none_knows(self, now: float, task: Pending) -> bool:
        """Deal with a task that no known worker can run: the queue group may know one; a registry that is there not."""
        books = self._books
        task_type = task.spec.task_type
        if books.pool.live and not books.pool.none_runs(task_type):
            return False
        if books.pool.live and self._registry:
            message = f"no worker runs tasks of type {task_type}: GET /workers says which are there"
            books.reject(task, Reason.UNKNOWN_TASK_TYPE, message)
        else:
            books.send_any(now, task)
        return True

    def _wait(self, now: float, task: Pending) -> None:
        """A task that came back waits again, or goes to the queue group if no worker is left."""
        books = self._books
        # The label may have been forgotten while the task ran.
        task.label = books.labels.get(task.spec.label)
        if not self._none_knows(now, task):
            (self._spread or self._matcher).wait(now, task)

    def _wait_or_give_up(self, now: float, task: Pending) -> None:
        if not self._bounced_out(now, task):
            self._wait(now, task)
        else:
            self._books.reject(
                task,
                Reason.QUEUE_FULL,
                f"{task.bounces} times it met a busy worker: try again later",
                retry_after_s=1.0,
            )

    def _bounced_out(self, now: float, task: Pending) -> bool:
        policy = self.policy
        return task.bounces >= policy.max_bounces and now - task.arrived >= policy.max_bounced_s

    def _bounced_by_all(self, now: float, task: Pending, *, no_responders: bool) -> None:
        books = self._books
        if not books.pool.live and no_responders:
            books.reject(task, Reason.NO_WORKER, "no worker is connected: start one, then try again", retry_after_s=1.0)
        elif self._bounced_out(now, task):
            self._wait_or_give_up(now, task)
        else:
            again_s = min(self.policy.look_again_s * 2 ** min(task.bounces - 1, 10), self.policy.look_again_max_s)
            task.label = books.labels.get(task.spec.label)
            if self._spread is not None:
                self._spread.wait(now, task, again_s=again_s)
            elif self._is_for_any(task):
                self._matcher.wait(now, task)
                books.timers.set(now + again_s, task)
            else:
                self._wait(now, task)

    def _is_for_any(self, task: Pending) -> bool:
        return not self._books.pool.live or self._books.pool.none_runs(task.spec.task_type)

    def _bounced_by(self, now: float, worker: Worker, assignment: Assignment, view: WorkerView | None) -> None:
        """Others keep the worker busy, whatever it says: leave it alone until it speaks again, or for a while."""
        books = self._books
        task = assignment.task
        lost: list[Label] = []
        if assignment.loads:
            books.drop(worker, assignment.label)
            lost.append(assignment.label)
            if assignment.evicted is not None and len(worker.labels) < worker.capacity:
                books.hold(worker, assignment.evicted)
        if view is not None and self._is_news(worker, view):
            if view.epoch_ms > worker.order[0]:
                self._see(now, view)
            else:
                lost += self._update(now, worker, view)
        worker.yielding = False
        books.others_until = now + self.policy.others_for_s
        worker.turn_at = now
        self._set_foreign(worker, max(worker.foreign, worker.slots + worker.window - len(worker.own), 1))
        books.pool.set_busy(worker)
        policy = self.policy
        worker.look_delay = min(max(worker.look_delay * 2, policy.look_again_s), policy.look_again_max_s)
        self._look_later(now, worker)
        if not task.cancelled:
            self._wait_or_give_up(now, task)
        self._offer(now, lost)
        if not books.pool.live:
            self._flush(now)

    # ── inside: workers ──

    def _learn(self, assignment: Assignment, outcome: Outcome) -> None:
        if not outcome.ok:
            return
        books = self._books
        policy = self.policy
        if outcome.label_hit:  # the first run after a load takes several times as long, and would pass for usual
            run_s = max(outcome.run_ms, 0.0) / 1e3
            assignment.label.observe_run(run_s, policy.run_alpha)
            books.runs.observe(run_s)
        books.share.own(2 if not assignment.loads or outcome.label_hit else 5 if outcome.evicted_label else 4)
        if assignment.loads and not outcome.label_hit and outcome.load_ms > 0:  # who joins a load sees only its rest
            assignment.label.observe_load(outcome.load_ms / 1e3, policy.load_alpha)
            books.loads.observe(outcome.load_ms / 1e3)

    def _infer_labels(self, worker: Worker, assignment: Assignment, outcome: Outcome) -> list[Label]:
        """The worker sent no view with its answer: what the answer itself says. Returns the labels it holds no more."""
        books = self._books
        lost: list[Label] = []
        if not outcome.ok and assignment.loads and not outcome.label_hit:
            lost.append(assignment.label)
        evicted = books.labels.find(outcome.evicted_label)
        if evicted is not None and evicted in worker.labels:
            lost.append(evicted)
        for label in lost:
            books.drop(worker, label)
        kept = assignment.evicted
        if kept is not None and kept.name != outcome.evicted_label and len(worker.labels) < worker.capacity:
            books.hold(worker, kept)
        return lost

    def _pause(self, now: float, worker: Worker) -> None:
        """A worker that fails fast would attract all the work: let it rest."""
        policy = self.policy
        worker.pause_s = min(max(worker.pause_s * 2, policy.pause_s), policy.pause_max_s)
        if worker.usable:
            worker.paused = True
            worker.yielding = False
            labels = list(worker.labels)
            self._books.detach(worker)
            self._offer(now, labels)
        if worker.paused:
            worker.look_at = now + worker.pause_s
            self._books.timers.set(worker.look_at, worker)

    def _look_later(self, now: float, worker: Worker) -> None:
        """Other dispatchers' tasks are believed to fill the worker: do not believe it for ever."""
        if worker.paused or worker.look_at > now:
            return
        delay = max(worker.look_delay, self.policy.look_again_s, 2 * self._books.runs.mean)
        worker.free_at = max(worker.free_at, now + self._books.runs.mean)
        worker.look_at = now + min(delay, self.policy.look_again_max_s)
        self._books.timers.set(worker.look_at, worker)

    def _look_at_worker(self, now: float, worker: Worker) -> None:
        worker.look_at = 0.0
        worker.yielding = False
        if self._books.pool.find(worker.worker_id) is not worker:
            return
        if worker.paused:
            worker.paused = False
            if worker.usable:
                self._books.attach(worker)
        elif worker.foreign:
            self._set_foreign(worker, 0)
        self._use(now, worker, news=False)

    def _set_foreign(self, worker: Worker, foreign: int) -> None:
        worker.foreign = foreign
        worker.foreign_loads = min(worker.foreign_loads, foreign)
        worker.recount()
        self._books.pool.recount(worker)

    def _is_news(self, worker: Worker, view: WorkerView) -> bool:
        return (view.epoch_ms, view.revision) >= worker.order

    def _see(self, now: float, view: WorkerView) -> None:
        books = self._books
        worker = books.pool.find(view.worker_id)
        if worker is None:
            worker = Worker(view.worker_id, view)
            books.pool.add(worker)
        elif not self._is_news(worker, view):
            return
        restarted = worker.order[0] >= 0 and view.epoch_ms > worker.order[0]
        # A new process under the same name has none of the old one's tasks.
        orphans = list(worker.own) if restarted else []
        tasks = [task for token in orphans if (task := self._lose(token, worker.worker_id)) is not None]
        lost = self._update(now, worker, view)
        self._line_up_again(now, self._line_up.hold(now, tasks))
        self._use(now, worker)
        self._offer(now, lost)
        if not books.pool.live:
            self._flush(now)

    def _update(self, now: float, worker: Worker, view: WorkerView) -> list[Label]:
        if view.epoch_ms == worker.order[0]:
            self._books.share.moved(view.revision - worker.order[1])
        worker.order = (view.epoch_ms, view.revision)
        pool = self._books.pool
        lost = apply_view(self._books, now, worker, view)
        pool.recount(worker)
        if view.task_types is not None:
            pool.set_types(worker, frozenset(view.task_types))
        if pool.mix_changed:
            self._sort_anew(now)
        return lost

    def _refresh(self, now: float, worker: Worker | None, view: WorkerView | None) -> None:
        """After an answer: the view that came with it, and the slot that is free again."""
        if view is not None and (
            worker is None or (view.worker_id == worker.worker_id and self._is_news(worker, view))
        ):
            self._see(now, view)
        elif worker is not None and self._books.pool.find(worker.worker_id) is worker:
            self._use(now, worker)
        elif self._spread is not None:
            self._spread.serve(now)

    def _use(self, now: float, worker: Worker, *, news: bool = True) -> None:
        books = self._books
        if self._spread is not None:
            self._spread.serve(now)
        elif worker.room > 0 or worker.load_room > 0:
            if now < books.others_until:
                if not worker.own and now - worker.turn_at > self.policy.turn_s:
                    self._yield(now, worker)
                    return
                if news:
                    # What others know to run there without a load goes first.
                    worker.load_at = now + self.policy.give_way_s * (1.0 + books.rng.random())
            self._matcher.serve(now, worker)
            if worker.load_room > 0 and worker.load_at > now and not 0.0 < worker.look_at <= worker.load_at:
                worker.look_at = worker.load_at
                books.timers.set(worker.look_at, worker)
            if worker.room > 0:
                worker.turn_at = now
        else:
            books.pool.set_busy(worker)
            if worker.foreign and worker.usable:
                if not worker.yielding:
                    books.others_until = now + self.policy.others_for_s
                    worker.turn_at = now
                self._look_later(now, worker)

    def _yield(self, now: float, worker: Worker) -> None:
        """Leave the worker to the other dispatchers for a moment: they have heard that it is idle."""
        worker.turn_at = now
        worker.yielding = True
        self._set_foreign(worker, worker.slots + worker.window)
        self._books.pool.set_busy(worker)
        worker.look_at = now + self.policy.yield_s
        self._books.timers.set(worker.look_at, worker)

    def _offer(self, now: float, labels: list[Label]) -> None:
        if self._spread is None:
            for label in labels:
                if label.count:
                    self._matcher.offer(now, label)

    def _lose(self, token: int, worker_id: str) -> Pending | None:
        """The task is lost with its worker, or on the way: returns it if it is to be run again."""
        assignment = self._books.take_back(token)
        assert assignment is not None
        task = assignment.task
        if task.cancelled:
            return None
        task.lost = (*task.lost, worker_id or "?")
        if task.spec.retry and len(task.lost) < self.policy.max_worker_losses:
            task.attempt += 1
            return task
        why = "" if task.spec.retry else " and may not be run twice"
        lost = f"it was lost with worker {', '.join(task.lost)}{why}: look into their logs before you send it again"
        self._books.reject(task, Reason.GAVE_UP, lost)
        return None

    def _gone(self, now: float, worker: Worker, *, bounced: int | None = None) -> None:
        """Nobody was there for the assignment `bounced`: what was sent after it will come back as well.

        That is no loss of theirs. Unless they may not be run twice: a new process of that name may have taken them.
        """
        books = self._books
        labels = list(worker.labels)
        tasks, suspects = [], []
        for token, assignment in list(worker.own.items()):
            if bounced is not None and token > bounced and assignment.task.spec.retry:
                books.take_back(token)
                if not assignment.task.cancelled:
                    tasks.append(assignment.task)
            elif (task := self._lose(token, worker.worker_id)) is not None:
                suspects.append(task)
        books.detach(worker)
        books.pool.remove(worker)
        if books.pool.mix_changed:
            self._sort_anew(now)
        for task in tasks:
            self._wait(now, task)
        self._line_up_again(now, self._line_up.hold(now, suspects))
        self._offer(now, labels)
        if not books.pool.live:
            self._flush(now)

    def _line_up_again(self, now: float, tasks: list[Pending]) -> None:
        """These may go on; others that were lost with them wait until it is their turn."""
        for task in tasks:
            self._wait(now, task)
        if self._line_up.look_at:
            self._books.timers.set(self._line_up.look_at, self._line_up)

    def _sort_anew(self, now: float) -> None:
        """The pool's mix of task types changed: each waiting task goes to the queue that it belongs to now."""
        self._books.pool.mix_changed = False
        for task in (self._spread or self._matcher).empty():
            self._wait(now, task)

    def _flush(self, now: float) -> None:
        """Nobody is known any more: the queue group takes what waits, or says that nobody is there."""
        for task in (self._spread or self._matcher).empty():
            if not self._books.expired(now, task):
                self._books.send_any(now, task)


def _late(task: Pending, now: float) -> bool:
    return task.spec.deadline is not None and task.spec.deadline <= now
