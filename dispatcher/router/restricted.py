"""Tasks of a type that only some workers know. In a pool where all workers run the same types there are none.

They keep queues of their own, by type: the label's queue is for tasks that any holder can take.
"""

import math
from collections import deque
from itertools import islice

from dispatcher.router.affinity import Prices
from dispatcher.router.books import Books
from dispatcher.router.labels import Label, Pending
from dispatcher.router.messages import Route
from dispatcher.router.workers import Worker

_LOOK_AT = 8
"""How many of the oldest tasks are looked at for a load: those before it wait for holders that are busy."""


class _Lane:
    """The waiting tasks of one type, by label and by age."""

    def __init__(self) -> None:
        self.by_label: dict[Label, deque[Pending]] = {}
        self.by_age: deque[Pending] = deque()


class Restricted:
    """First the worker's own labels, oldest task first; then loads by age, unless a holder will do it soon."""

    def __init__(self, books: Books, prices: Prices) -> None:
        self._books = books
        self._prices = prices
        self._lanes: dict[str, _Lane] = {}
        self.count = 0
        """Tasks that wait here."""

    def push(self, task: Pending) -> None:
        """Let the task wait; one that came back goes before those that arrived after it."""
        lane = self._lanes.setdefault(task.spec.task_type, _Lane())
        task.waiting = True
        self.count += 1
        for queue in (lane.by_label.setdefault(task.label, deque()), lane.by_age):
            if queue and task.arrived < queue[-1].arrived:
                queue.insert(next(i for i, other in enumerate(queue) if other.arrived > task.arrived), task)
            else:
                queue.append(task)

    def offer(self, now: float, task: Pending) -> None:
        """A free worker that knows the type takes it: a holder, or one that may as well load its label."""
        for worker in task.label.holders:
            if _can_take(worker, task):
                if worker.loading.get(task.label, 0.0) <= now:
                    self._start(now, task, worker)
                    return
                self._books.timers.set(worker.loading[task.label], task)
        for worker in self._books.pool.idle_workers():
            if worker.load_room > 0 and worker.runs(task.spec.task_type) and self.serve_load(now, worker):
                return

    def serve_hit(self, now: float, worker: Worker, arrived_before: float) -> bool:
        """Give the worker the oldest task for a label that it holds, if one arrived before the time given."""
        oldest = arrived_before
        best: Pending | None = None
        for task_type, lane in self._lanes.items():
            if worker.runs(task_type):
                for label in worker.labels:
                    queue = lane.by_label.get(label)
                    if queue and queue[0].arrived < oldest:
                        if worker.loading.get(label, 0.0) > now:
                            self._books.timers.set(worker.loading[label], queue[0])
                            continue
                        best = queue[0]
                        oldest = best.arrived
        if best is None:
            return False
        self._start(now, best, worker)
        return True

    def serve_load(self, now: float, worker: Worker, arrived_before: float = math.inf) -> bool:
        """Have the worker load a label for one of the oldest tasks it can run."""
        for task_type, lane in self._lanes.items():
            if not worker.runs(task_type):
                continue
            for task in islice(lane.by_age, _LOOK_AT):
                if task.label in worker.labels or task.arrived >= arrived_before:
                    continue
                worth_it_at = task.arrived + self._books.load_s(task.label)
                if now < worth_it_at and any(holder.runs(task_type) for holder in task.label.holders):
                    self._books.timers.set(worth_it_at, task)
                    continue
                evict, regret = self._prices.victim(worker, now, forced=True)
                if regret == math.inf:
                    return False
                route = Route.COPY if task.label.holders else Route.LOAD
                if self._take(now, task):
                    self._books.send_load(now, task, worker, route, evict)
                return True
        return False

    def drop(self, task: Pending) -> bool:
        """A waiting task is not wanted any more; False if it does not wait here."""
        lane = self._lanes.get(task.spec.task_type)
        if lane is None or task not in lane.by_label.get(task.label, ()):
            return False
        self._remove(lane, task)
        return True

    def empty(self) -> list[Pending]:
        """Take everything out."""
        tasks = [task for lane in self._lanes.values() for task in lane.by_age]
        for task in tasks:
            task.waiting = False
        self._lanes.clear()
        self.count = 0
        return tasks

    def _start(self, now: float, task: Pending, worker: Worker) -> None:
        if self._take(now, task):
            self._books.send(now, task, worker, Route.HIT if now == task.arrived else Route.WAIT)

    def _take(self, now: float, task: Pending) -> bool:
        """Take the task out of its queues; False if its deadline has passed."""
        self._remove(self._lanes[task.spec.task_type], task)
        self._books.waiting -= 1
        return not self._books.expired(now, task)

    def _remove(self, lane: _Lane, task: Pending) -> None:
        task.waiting = False
        self.count -= 1
        lane.by_age.remove(task)
        queue = lane.by_label[task.label]
        queue.remove(task)
        if not queue:
            del lane.by_label[task.label]
        if not lane.by_age:
            del self._lanes[task.spec.task_type]


def _can_take(worker: Worker, task: Pending) -> bool:
    return worker.room > 0 and worker.runs(task.spec.task_type)
