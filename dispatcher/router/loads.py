"""Loads: which waiting label is worth one, when, and on which worker."""

import math

from dispatcher.router.affinity import Prices
from dispatcher.router.age import AgeLimit
from dispatcher.router.books import Books
from dispatcher.router.candidates import LEAST_LOAD_S
from dispatcher.router.labels import Label
from dispatcher.router.messages import Route
from dispatcher.router.restricted import Restricted
from dispatcher.router.workers import Worker


class Loads:
    """Weighs what a load gains against what it costs, from the label's side and from a free worker's."""

    def __init__(self, books: Books, prices: Prices, restricted: Restricted) -> None:
        self._books = books
        self._prices = prices
        self._restricted = restricted
        self._age = AgeLimit(books, prices)

    def enter(self, now: float, label: Label) -> None:
        """Make the label a candidate for a load, if a load may pay."""
        label.version += 1
        if label.count:
            benefit = self._prices.benefit(label, now)
            if benefit > -math.inf:
                self._books.candidates.put(label, benefit / label.count - now, self._books.load_s(label))

    def offer(self, now: float, label: Label) -> None:
        """Load the label on free workers as long as that pays; otherwise look again when it would."""
        while label.count and self._books.pool.idle and self._offer_once(now, label):
            pass

    def serve(self, now: float, worker: Worker) -> bool:
        """Have the worker load the label that gains most for the time it takes, if that pays."""
        books = self._books
        prices = self._prices
        if self._restricted.count and self._restricted.serve_load(now, worker):
            return True
        best, benefit = self._best_for(now, worker)
        if best is None:
            return False
        cost = prices.cost(worker, books.load_s(best), now)
        if benefit < max(cost, 0.0):
            self._look_again(now, best, cost - benefit)
            return False
        evict, regret = prices.victim(worker, now)
        if regret == math.inf:
            return False
        if worker.window and benefit < regret + cost:
            self._look_again(now, best, regret + cost - benefit)
            return False
        self._start(now, best, worker, evict)
        return True

    def serve_aged(self, now: float, worker: Worker) -> bool:
        """Have the worker load a label that reached the age limit, whatever else there is to do."""
        if self._restricted.count and self._restricted.serve_load(now, worker, now - self._books.policy.age_limit_s):
            return True
        label = self._age.due(now, worker)
        if label is None:
            return False
        evict, regret = self._prices.victim(worker, now, forced=True)
        if regret == math.inf:
            return False
        self._start(now, label, worker, evict, aged=True)
        return True

    def _offer_once(self, now: float, label: Label) -> bool:
        benefit = self._prices.benefit(label, now)
        if benefit <= 0.0:
            return False
        chosen = self._prices.choose(label, now)
        if chosen is None:
            return False
        worker, evict, cost = chosen
        if benefit < cost and not self._age.reached(label, now):
            self._look_again(now, label, cost - benefit)
            return False
        self._start(now, label, worker, evict)
        return True

    def _best_for(self, now: float, worker: Worker) -> tuple[Label | None, float]:
        """The label that gains most for each second of its load, as in Smith's rule for jobs on a machine."""
        books = self._books
        best: Label | None = None
        most = gain = -math.inf
        for label in books.candidates.tops():
            benefit = self._prices.benefit(label, now)
            rank = benefit / max(books.load_s(label), LEAST_LOAD_S)
            if rank > most:
                if label in worker.labels:
                    continue
                most = rank
                gain = benefit
                best = label
            elif benefit == -math.inf:
                label.version += 1
        return best, gain

    def _start(self, now: float, label: Label, worker: Worker, evict: Label | None, *, aged: bool = False) -> None:
        books = self._books
        task = label.pop()
        books.waiting -= 1
        if books.expired(now, task):
            self.enter(now, label)
            return
        route = Route.COPY if label.holders else Route.LOAD
        assignment = books.send_load(now, task, worker, route, evict)
        if aged:
            assignment.aged = True
            books.aged_loads += 1
        elif route is Route.LOAD:
            books.load_waits.observe(now - task.arrived)
        self.enter(now, label)
        if evict is not None and evict.count:
            self.enter(now, evict)
        # Those who counted on this worker have longer to wait now.
        for other in worker.labels:
            if other.count and other is not label:
                self.enter(now, other)

    def _look_again(self, now: float, label: Label, missing: float) -> None:
        """When the benefit has grown by `missing`, or the first task has reached the age limit."""
        aged_at = label.oldest + self._age.limit_s(label)
        at = now + max(missing / label.count, 1e-4)
        self._books.timers.look_at(label, max(min(at, aged_at), now + 1e-4))
