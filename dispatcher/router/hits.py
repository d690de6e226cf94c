"""Hits: tasks for workers that hold their label."""

import math

from dispatcher.router.books import Books
from dispatcher.router.labels import Label
from dispatcher.router.loads import Loads
from dispatcher.router.messages import Route
from dispatcher.router.restricted import Restricted
from dispatcher.router.workers import Worker


class Hits:
    """Finds a free holder for a label, and for a worker the label it holds whose first task is oldest."""

    def __init__(self, books: Books, loads: Loads, restricted: Restricted) -> None:
        self._books = books
        self._loads = loads
        self._restricted = restricted

    def free_holder(self, now: float, label: Label) -> Worker | None:
        """A holder with a free slot and the label ready; those found to be neither are dropped from the index."""
        free = label.free
        while free:
            stale = None
            for worker in free:
                if worker.room <= 0 or label not in worker.labels:
                    stale = worker
                    break
                if not worker.loading:
                    return worker
                ready_at = worker.loading.get(label, 0.0)
                if ready_at <= now:
                    return worker
                self._books.timers.look_at(label, ready_at)
            if stale is None:
                return None
            del free[stale]
        return None

    def offer(self, now: float, label: Label) -> None:
        """Give the label's tasks to its free holders."""
        while label.count:
            worker = self.free_holder(now, label)
            if worker is None:
                return
            self._start(now, label, worker)

    def serve(self, now: float, worker: Worker) -> bool:
        """Give the worker the oldest task for what it holds; False if there is none."""
        oldest = math.inf
        best: Label | None = None
        for label in worker.labels:
            if label.oldest < oldest:
                if label in worker.loading and worker.loading[label] > now:
                    self._books.timers.look_at(label, worker.loading[label])
                    continue
                oldest = label.oldest
                best = label
        if self._restricted.count and self._restricted.serve_hit(now, worker, oldest):
            return True
        if best is None:
            return False
        self._start(now, best, worker)
        self._loads.enter(now, best)
        return True

    def _start(self, now: float, label: Label, worker: Worker) -> None:
        books = self._books
        task = label.pop()
        label.version += 1
        books.waiting -= 1
        if not books.expired(now, task):
            books.send(now, task, worker, Route.WAIT)
