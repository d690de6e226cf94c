"""Contention with other dispatchers for the same workers.

Dispatchers do not talk to each other. Each sees tasks on a worker that it did not send (`Worker.foreign`), and BUSY
answers. A worker is shared by time slices, and a load waits for hits that others may have for the worker.
"""

from dispatcher.router.messages import WorkerView
from dispatcher.router.state.state import RouterState
from dispatcher.router.state.workers import Worker


class Contention:
    """Decides how long to believe that others keep a worker busy, and when to leave one to them."""

    def __init__(self, state: RouterState) -> None:
        self._state = state
        self._policy = state.policy.contention

    def observe(self, worker: Worker, view: WorkerView) -> None:
        """Take in how many places others take by the worker's view. Room is to be counted again after it."""
        taken = view.places_taken
        if taken is None:
            return
        foreign = foreign_places(worker, view, taken)
        if not worker.yielding:
            worker.foreign = foreign
        elif foreign:  # another dispatcher took its time slice
            worker.foreign = foreign
            worker.yielding = False
            self._state.timers.clear(worker)
        if worker.window:
            worker.foreign_loads = min(worker.foreign, _loads_of_others(worker, view)) if view.loading else 0

    def turned_away(self, now: float, worker: Worker, view: WorkerView | None) -> None:
        """Count a BUSY answer: others keep the worker busy, until it speaks again or for a while.

        By a view without tasks of others it is a task that the worker, by its own law, would not let join a pass.
        """
        policy = self._policy
        worker.yielding = False
        if view is None or worker.pass_tasks <= 1 or worker.foreign:
            self._notice_others(now, worker)
        self._believe(worker, max(worker.foreign, worker.slots + worker.window - worker.places, 1))
        self._state.pool.set_busy(worker)
        worker.retry_delay_s = min(max(worker.retry_delay_s * 2, policy.retry_s), policy.retry_max_s)
        self._retry_later(now, worker)

    def succeeded(self, worker: Worker) -> None:
        """Forget the worker's BUSY answers: it ran a task."""
        worker.retry_delay_s = 0.0

    def full(self, now: float, worker: Worker) -> None:
        """Note that the tasks of others leave the worker no room, by its own view."""
        if not worker.yielding:
            self._notice_others(now, worker)
        self._retry_later(now, worker)

    def is_slice_over(self, now: float, worker: Worker) -> bool:
        """Return True if this dispatcher kept the worker busy for a whole time slice."""
        return not worker.assignments and now - worker.slice_since > self._policy.time_slice_s

    def begin_slice(self, now: float, worker: Worker) -> None:
        """Begin a time slice: the worker has a free slot, so nobody was kept from it."""
        worker.slice_since = now

    def yield_slice(self, now: float, worker: Worker) -> None:
        """Leave the worker to the other dispatchers for a moment: they have heard that it is idle."""
        worker.slice_since = now
        worker.yielding = True
        self._believe(worker, worker.slots + worker.window)
        self._state.pool.set_busy(worker)
        self._state.timers.wake(worker, now + self._policy.yield_s)

    def end_yield(self, worker: Worker) -> None:
        """End the moment in which the worker was left to others, or was believed busy with their tasks."""
        worker.yielding = False

    def disbelieve(self, worker: Worker) -> None:
        """Assume that the worker runs no tasks of others."""
        if worker.foreign:
            self._believe(worker, 0)

    def delay_loads(self, now: float, worker: Worker) -> None:
        """Let tasks that others can run there without a load go before loads."""
        worker.load_not_before = now + self._policy.load_delay_s * (1.0 + self._state.rng.random())

    def wake_for_load(self, now: float, worker: Worker) -> None:
        """Set a timer for when the worker may be given a load."""
        if worker.load_not_before > now and not 0.0 < worker.wake_at <= worker.load_not_before:
            self._state.timers.wake(worker, worker.load_not_before)

    def _notice_others(self, now: float, worker: Worker) -> None:
        self._state.others_until = now + self._policy.others_for_s
        worker.slice_since = now

    def _believe(self, worker: Worker, foreign: int) -> None:
        worker.foreign = foreign
        worker.foreign_loads = min(worker.foreign_loads, foreign)
        worker.recount()
        self._state.pool.recount(worker)

    def _retry_later(self, now: float, worker: Worker) -> None:
        """Set a timer to try a worker that is believed full: what is believed of it may be wrong."""
        if worker.paused or worker.wake_at > now:
            return
        mean_run_s = self._state.runs.mean
        delay = max(worker.retry_delay_s, self._policy.retry_s, 2 * mean_run_s)
        self._state.expect_free_at(worker, now + mean_run_s)
        self._state.timers.wake(worker, now + min(delay, self._policy.retry_max_s))


def foreign_places(worker: Worker, view: WorkerView, taken: int) -> int:
    """Return how many of the `taken` places tasks of other dispatchers take.

    No more than there are such tasks: the worker may count a place more for ours, by its own law of their passes.
    """
    if view.running is None:
        return max(0, taken - worker.places)
    return max(0, min(taken - worker.places, view.running - len(worker.assignments)))


def _loads_of_others(worker: Worker, view: WorkerView) -> int:
    ours = {assignment.label.name for assignment in worker.assignments.values()}
    return sum(label not in ours for label in view.loading)
