"""Workers shared with other dispatchers: whose turn it is, and how long to believe that others keep one busy."""

from dispatcher.router.books import Books
from dispatcher.router.workers import Worker


class Sharing:
    """Dispatchers do not know of each other: each only sees what it did not send itself."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._policy = books.policy

    def found(self, now: float, worker: Worker) -> None:
        """The worker has another dispatcher's tasks: others are about, and it is their turn there."""
        self._books.others_until = now + self._policy.others_for_s
        worker.turn_at = now

    def believe(self, worker: Worker, foreign: int) -> None:
        """Take it that so many tasks of others are with the worker."""
        worker.foreign = foreign
        worker.foreign_loads = min(worker.foreign_loads, foreign)
        worker.recount()
        self._books.pool.recount(worker)

    def turned_away(self, now: float, worker: Worker) -> None:
        """Others keep the worker busy, whatever it says: leave it alone until it speaks again, or for a while."""
        policy = self._policy
        worker.yielding = False
        self.found(now, worker)
        self.believe(worker, max(worker.foreign, worker.slots + worker.window - len(worker.own), 1))
        self._books.pool.set_busy(worker)
        worker.look_delay = min(max(worker.look_delay * 2, policy.look_again_s), policy.look_again_max_s)
        self.look_later(now, worker)

    def full(self, now: float, worker: Worker) -> None:
        """By what it says, others' tasks are what leaves the worker no room."""
        if not worker.yielding:
            self.found(now, worker)
        self.look_later(now, worker)

    def look_later(self, now: float, worker: Worker) -> None:
        """Other dispatchers' tasks are believed to fill the worker: do not believe it for ever."""
        if worker.paused or worker.look_at > now:
            return
        mean_run_s = self._books.runs.mean
        delay = max(worker.look_delay, self._policy.look_again_s, 2 * mean_run_s)
        worker.free_at = max(worker.free_at, now + mean_run_s)
        worker.look_at = now + min(delay, self._policy.look_again_max_s)
        self._books.timers.set(worker.look_at, worker)

    def is_turn_over(self, now: float, worker: Worker) -> bool:
        """True if this dispatcher kept the worker busy for so long that others should have it for a moment."""
        return not worker.own and now - worker.turn_at > self._policy.turn_s

    def give_turn(self, now: float, worker: Worker) -> None:
        """Leave the worker to the other dispatchers for a moment: they have heard that it is idle."""
        worker.turn_at = now
        worker.yielding = True
        self.believe(worker, worker.slots + worker.window)
        self._books.pool.set_busy(worker)
        worker.look_at = now + self._policy.yield_s
        self._books.timers.set(worker.look_at, worker)

    def hold_loads_back(self, now: float, worker: Worker) -> None:
        """What others know to run there without a load goes before loads."""
        worker.load_at = now + self._policy.give_way_s * (1.0 + self._books.rng.random())

    def look_for_load(self, now: float, worker: Worker) -> None:
        """Come back to the worker when it may be given a load."""
        if worker.load_at > now and not 0.0 < worker.look_at <= worker.load_at:
            worker.look_at = worker.load_at
            self._books.timers.set(worker.look_at, worker)
