"""Admission to passes: a task joins the pass that gathers on a busy worker, in place of waiting for a place of its own.

A worker runs up to `pass_tasks` tasks of one label in one run, and the next run gathers while one is under way. A task
that joins costs the others b and saves a (bus/pass_times.py). It is bound early, which is no loss: nothing can begin
before the run under way ends. But a label whose passes follow each other would keep its place for ever, so tasks stop
joining as soon as something else that waits for the worker is older: not the pass that has yet to begin behind that of
another label, which ends b later for each of them, but the one after it.
"""

from itertools import islice
from typing import Final

from dispatcher.router.scheduling.eligibility import Eligibility
from dispatcher.router.scheduling.placement import Placement
from dispatcher.router.state.state import RouterState
from dispatcher.router.state.workers import PoolLabel, PoolTask, Worker

_SAMPLED_WORKERS: Final = 8
"""Workers looked at for the one with the fewest tasks of the label: of that many, one has few."""


class PassAdmission:
    """Says which tasks may join a pass, and where."""

    def __init__(self, state: RouterState, placement: Placement, eligibility: Eligibility) -> None:
        self._state = state
        self._placement = placement
        self._eligibility = eligibility
        self._time_slice_s = state.policy.contention.time_slice_s

    def find(self, now: float, label: PoolLabel, task: PoolTask) -> Worker | None:
        """Return the worker with the fewest tasks of the label among those whose next pass the task may join."""
        best: Worker | None = None
        least = 0
        for worker, gathering in islice(label.gathering.items(), _SAMPLED_WORKERS):
            if (best is None or gathering.count < least) and self.may_join(now, label, task, worker):
                best = worker
                least = gathering.count
        return best

    def may_join(self, now: float, label: PoolLabel, task: PoolTask, worker: Worker) -> bool:
        """Return True if the task may join the next pass of its label on the worker, which has no free place for it."""
        state = self._state
        gathering = label.gathering.get(worker)
        if gathering is None or not gathering.is_open or not worker.shares(task) or worker not in label.holders:
            return False
        if worker.retry_delay_s:
            return False  # it was too busy for a task since its last result: by its own count fewer share a place
        if worker.loading and worker.loading.get(label, 0.0) > now and len(label.holders) > 1:
            return False  # other holders may be free before the label is loaded here
        if now < state.others_until and now - gathering.since > self._time_slice_s:
            return False  # other dispatchers may have tasks for the worker, which nobody here knows of
        if gathering.ends == worker.ends and gathering.count < state.law(label, worker).limit:
            return True
        return not (state.waiting and self._is_awaited(now, label, task, worker))

    def _is_awaited(self, now: float, label: PoolLabel, task: PoolTask, worker: Worker) -> bool:
        """Return True if anything that waits for a place of the worker is older than the task."""
        arrived = task.arrived
        for other in worker.labels:
            if other.oldest < arrived and other is not label and worker.loading.get(other, 0.0) <= now:
                return True
        if self._eligibility.has_older_hit(now, worker, arrived, label):
            return True
        return worker.load_room <= 0 and self._placement.is_load_overdue(now)
