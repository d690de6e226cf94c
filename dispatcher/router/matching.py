"""Late binding: brings waiting tasks and free workers together, hits first."""

import math

from dispatcher.router.affinity import Prices
from dispatcher.router.books import Books
from dispatcher.router.labels import Label, Pending
from dispatcher.router.model import Route
from dispatcher.router.restricted import Restricted
from dispatcher.router.workers import Worker


class Matcher:
    """A task waits in its label's queue until a worker is free that holds the label, or that had best load it.

    While nothing else happens this holds: no worker with a free slot holds a label that a task waits for.
    """

    def __init__(self, books: Books) -> None:
        self._books = books
        self._prices = Prices(books)
        self._restricted = Restricted(books, self._prices)

    def submit(self, now: float, task: Pending) -> bool:
        """Run the task at once if that is best; False if it has to wait, which `wait` then does."""
        books = self._books
        label = task.label
        if not label.count and books.pool.all_run(task.spec.task_type):
            worker = self._free_holder(label, now)
            if worker is not None:
                books.send(now, task, worker, Route.HIT)
                return True
        return False

    def wait(self, now: float, task: Pending) -> None:
        """Put a task into its queue: a new one at the end, one that came back at its place by age."""
        books = self._books
        books.waiting += 1
        if task.spec.deadline is not None:
            books.timers.set(task.spec.deadline, task)
        if not books.pool.all_run(task.spec.task_type):
            self._restricted.push(task)
            self._restricted.offer(now, task)
            return
        label = task.label
        if label.count and task.arrived < label.queue[-1].arrived:
            label.push_front(task)
        else:
            label.push(task)
        self.offer(now, label)

    def drop(self, now: float, task: Pending) -> None:
        """A waiting task is not wanted any more."""
        self._books.waiting -= 1
        if not self._restricted or not self._restricted.drop(task):
            task.label.drop(task)
            self._enter(now, task.label)

    def empty(self) -> list[Pending]:
        """Take out everything that waits, by age."""
        tasks = self._restricted.empty()
        for label in self._books.labels:
            while label.count:
                tasks.append(label.pop())
            label.version += 1
        self._books.waiting = 0
        tasks.sort(key=lambda task: task.arrived)
        return tasks

    def offer(self, now: float, label: Label) -> None:
        """Something about the label is new: give its tasks to free holders, or have a free worker load it."""
        while label.count:
            worker = self._free_holder(label, now)
            if worker is None:
                break
            self._hit(now, label, worker)
        self._enter(now, label)
        while label.count and self._books.pool.idle and self._consider(now, label):
            pass

    def serve(self, now: float, worker: Worker) -> None:
        """Give the worker as much as it can take; what remains of it is free."""
        while worker.room > 0:
            if not (self._load_aged(now, worker) or self._serve_hit(now, worker) or self._serve_load(now, worker)):
                self._park(worker)
                return

    def look(self, now: float, subject: Label | Pending) -> None:
        """The time to look again at a label, or at a waiting task, has come."""
        if isinstance(subject, Label):
            subject.look_at = 0.0
            self.offer(now, subject)
        elif subject.spec.deadline is not None and subject.spec.deadline <= now:
            self.drop(now, subject)
            self._books.expired(now, subject)
        elif not self._books.pool.all_run(subject.spec.task_type):
            self._restricted.offer(now, subject)

    # ── hits ──

    def _free_holder(self, label: Label, now: float) -> Worker | None:
        """A holder with a free slot and the label ready; those found to be neither are dropped from the index."""
        free = label.free
        while free:
            stale = None
            for worker in free:
                if worker.room <= 0 or label not in worker.labels:
                    stale = worker
                    break
                ready_at = worker.loading.get(label, 0.0)
                if ready_at <= now:
                    return worker
                self._look_at(label, ready_at)
            if stale is None:
                return None
            del free[stale]
        return None

    def _hit(self, now: float, label: Label, worker: Worker) -> None:
        books = self._books
        task = label.pop()
        label.version += 1
        books.waiting -= 1
        if not books.expired(now, task):
            books.send(now, task, worker, Route.WAIT)

    def _serve_hit(self, now: float, worker: Worker) -> bool:
        oldest = math.inf
        best: Label | None = None
        for label in worker.labels:
            if label.count:
                arrived = label.queue[0].arrived
                if arrived < oldest:
                    if label in worker.loading and worker.loading[label] > now:
                        self._look_at(label, worker.loading[label])
                        continue
                    oldest = arrived
                    best = label
        if self._restricted and self._restricted.serve_hit(now, worker, oldest):
            return True
        if best is None:
            return False
        self._hit(now, best, worker)
        self._enter(now, best)
        return True

    def _park(self, worker: Worker) -> None:
        self._books.pool.set_idle(worker)
        for label in worker.labels:
            label.free[worker] = None

    # ── loads ──

    def _enter(self, now: float, label: Label) -> None:
        """Make the label a candidate for a load, if a load may pay."""
        label.version += 1
        if label.count:
            benefit = self._prices.benefit(label, now)
            if benefit > -math.inf:
                self._books.candidates.put(label, benefit - label.count * now)

    def _consider(self, now: float, label: Label) -> bool:
        """Load the label on a free worker if that pays; otherwise look again when it would."""
        benefit = self._prices.benefit(label, now)
        if benefit <= 0.0:
            return False
        chosen = self._prices.choose(label, now)
        if chosen is None:
            return False
        worker, evict, cost = chosen
        if benefit < cost and not self._is_aged(label, now):
            self._look_again(now, label, cost - benefit)
            return False
        self._load(now, label, worker, evict)
        return True

    def _serve_load(self, now: float, worker: Worker) -> bool:
        candidates = self._books.candidates
        if self._restricted and self._restricted.serve_load(now, worker):
            return True
        if not candidates:
            return False
        prices = self._prices
        best: Label | None = None
        most = -math.inf
        for label in candidates.tops():
            benefit = prices.benefit(label, now)
            if benefit > most:
                if label in worker.labels:
                    continue
                most = benefit
                best = label
            elif benefit == -math.inf:
                label.version += 1
        if best is None:
            return False
        cost = prices.cost(worker, self._books.load_s(best), now)
        if most < max(cost, 0.0):
            self._look_again(now, best, cost - most)
            return False
        evict, regret = prices.victim(worker, now)
        if regret == math.inf:
            return False
        self._load(now, best, worker, evict)
        return True

    def _load(self, now: float, label: Label, worker: Worker, evict: Label | None, *, aged: bool = False) -> None:
        books = self._books
        task = label.pop()
        books.waiting -= 1
        if books.expired(now, task):
            self._enter(now, label)
            return
        route = Route.COPY if label.holders else Route.LOAD
        assignment = books.send(now, task, worker, route, loads=True, evict=evict)
        if aged:
            assignment.aged = True
            books.aged_loads += 1
        elif route is Route.LOAD:
            books.load_waits.observe(now - task.arrived)
        self._enter(now, label)
        if evict is not None and evict.count:
            self._enter(now, evict)
        # Those who counted on this worker have longer to wait now.
        for other in worker.labels:
            if other.count and other is not label:
                self._enter(now, other)

    # ── age ──

    def _age_limit(self, label: Label) -> float:
        policy = self._books.policy
        least = policy.age_limit_s + policy.age_limit_loads * self._books.load_s(label)
        return max(least, policy.age_limit_typical * self._books.load_waits.mean)

    def _is_aged(self, label: Label, now: float) -> bool:
        return now - label.queue[0].arrived >= self._age_limit(label)

    def _load_aged(self, now: float, worker: Worker) -> bool:
        books = self._books
        policy = books.policy
        if self._restricted and self._restricted.serve_load(now, worker, now - policy.age_limit_s):
            return True
        label = books.candidates.oldest(now - policy.age_limit_s)
        if label is None or now - label.queue[0].arrived < self._age_limit(label) or label in worker.labels:
            return False
        if books.aged_loads >= max(1.0, policy.aged_share * books.pool.live):
            return False
        if self._prices.benefit(label, now) == -math.inf:
            books.candidates.not_now(label)
            return False
        evict, regret = self._prices.victim(worker, now, forced=True)
        if regret == math.inf:
            return False
        self._load(now, label, worker, evict, aged=True)
        return True

    # ── looking again ──

    def _look_again(self, now: float, label: Label, missing: float) -> None:
        """When the benefit has grown by `missing`, or the first task has reached the age limit."""
        aged_at = label.queue[0].arrived + self._age_limit(label)
        at = now + max(missing / label.count, 1e-4)
        self._look_at(label, max(min(at, aged_at), now + 1e-4))

    def _look_at(self, label: Label, at: float) -> None:
        if not label.look_at or at < label.look_at:
            label.look_at = at
            self._books.timers.set(at, label)
