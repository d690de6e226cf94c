"""The age limit: since hits go first, a label that nobody holds could wait for its load for ever."""

from dispatcher.router.affinity import Prices
from dispatcher.router.books import Books
from dispatcher.router.labels import Label
from dispatcher.router.workers import Worker


class AgeLimit:
    """Labels whose first task waited too long for a load go before hits, on a few workers at a time."""

    def __init__(self, books: Books, prices: Prices) -> None:
        self._books = books
        self._prices = prices

    def limit_s(self, label: Label) -> float:
        """How long the label's first task may wait: in loads, and beside what labels wait these days."""
        policy = self._books.policy
        least = policy.age_limit_s + policy.age_limit_loads * self._books.load_s(label)
        return max(least, policy.age_limit_typical * self._books.load_waits.mean)

    def reached(self, label: Label, now: float) -> bool:
        """True if the label, for which tasks wait, has waited that long."""
        return now - label.oldest >= self.limit_s(label)

    def due(self, now: float, worker: Worker) -> Label | None:
        """The label that the worker should load before it runs what it holds."""
        books = self._books
        policy = books.policy
        label = books.candidates.oldest(now - policy.age_limit_s)
        if label is None or not self.reached(label, now) or label in worker.labels:
            return None
        if books.aged_loads >= max(1.0, policy.aged_share * books.pool.live):
            return None
        if self._prices.is_served(label, now):
            books.candidates.not_now(label)
            return None
        return label
