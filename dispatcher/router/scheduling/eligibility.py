"""Eligibility: tasks that only some workers may run, in queues of their own.

Two kinds: tasks of a type that some workers do not have, and tasks that were lost with a worker while another one is
left to try. The label's own queue is for tasks that any holder can take. In a pool where all workers run the same
types, and none was lost, there are none.
"""

import math
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Final

from dispatcher.router.messages import Route
from dispatcher.router.scheduling.cost import CostModel, LoadPlan
from dispatcher.router.state.labels import UNKNOWN_WORKER
from dispatcher.router.state.state import RouterState
from dispatcher.router.state.workers import PoolLabel, PoolTask, Worker

_LOOK_AHEAD: Final = 8
"""Oldest tasks of a lane that are looked at for a load: those before it wait for holders that are busy."""


class _Lane:
    """Waiting tasks of one type that were lost with the same workers (mostly none), by label and by age."""

    def __init__(self, task_type: str, avoids: tuple[str, ...]) -> None:
        self.task_type: Final = task_type
        self.avoids: Final = avoids
        self.by_label: dict[PoolLabel, deque[PoolTask]] = {}
        self.by_age: deque[PoolTask] = deque()

    def accepts(self, worker: Worker) -> bool:
        """Return True if the worker may run these tasks."""
        return worker.runs(self.task_type) and worker.worker_id not in self.avoids


class Eligibility:
    """Tasks for some of the workers: hits first, oldest first; then loads by age, unless a holder is about to run it.

    `count` is the number of tasks that wait here.
    """

    def __init__(self, state: RouterState, cost_model: CostModel) -> None:
        self._state = state
        self._cost_model = cost_model
        self._lanes: dict[tuple[str, tuple[str, ...]], _Lane] = {}
        self.count = 0

    def is_for_some(self, now: float, task: PoolTask) -> bool:
        """Return True if not every worker may run the task."""
        return not self._state.pool.all_run(task.spec.task_type) or (
            bool(task.lost) and self._should_try_others(now, task)
        )

    def is_overdue(self, now: float, task: PoolTask) -> bool:
        """Return True if the task has waited for another worker for as long as it should."""
        return bool(task.avoids) and now >= task.others_until

    def contains(self, task: PoolTask) -> bool:
        """Return True if the task waits here."""
        lane = self._lanes.get(_key(task)) if self.count else None
        return lane is not None and task in lane.by_label.get(task.label, ())

    def push(self, now: float, task: PoolTask) -> None:
        """Let the task wait; one that came back goes before those that arrived after it."""
        task.avoids = task.lost if self._should_try_others(now, task) else ()
        lane = self._lanes.get(_key(task))
        if lane is None:
            lane = self._lanes[_key(task)] = _Lane(task.spec.task_type, task.avoids)
        task.queued = True
        self.count += 1
        for queue in (lane.by_label.setdefault(task.label, deque()), lane.by_age):
            if queue and task.arrived < queue[-1].arrived:
                queue.insert(next(i for i, other in enumerate(queue) if other.arrived > task.arrived), task)
            else:
                queue.append(task)
        if task.avoids:
            self._state.timers.set(task.others_until, task)

    def offer(self, now: float, task: PoolTask) -> None:
        """Run the task on a free worker that may: a holder, or one on which a load of its label pays."""
        lane = self._lanes[_key(task)]
        for worker in task.label.holders:
            if worker.room > 0 and lane.accepts(worker):
                if worker.loading.get(task.label, 0.0) <= now:
                    self.start(now, task, worker)
                    return
                self._state.timers.set(worker.loading[task.label], task)
        for worker in self._state.pool.idle_workers():
            if worker.load_room > 0 and lane.accepts(worker):
                plan = self.next_load(now, worker)
                if plan is not None and plan.task is not None:
                    self.start_load(now, plan.task, plan)
                    return

    def oldest_hit(self, now: float, worker: Worker, *, arrived_before: float) -> PoolTask | None:
        """Return the oldest task that the worker may run for a label that it holds, if one arrived before that."""
        oldest = arrived_before
        best: PoolTask | None = None
        for lane in self._lanes_for(worker):
            for label in worker.labels:
                queue = lane.by_label.get(label)
                if queue and queue[0].arrived < oldest:
                    if worker.loading.get(label, 0.0) > now:
                        self._state.timers.set(worker.loading[label], queue[0])
                        continue
                    best = queue[0]
                    oldest = best.arrived
        return best

    def has_older_hit(self, now: float, worker: Worker, arrived: float, label: PoolLabel) -> bool:
        """Return True if a task of another label that the worker may run and holds arrived before that."""
        if not self.count:
            return False
        return any(
            queue[0].arrived < arrived
            for lane in self._lanes_for(worker)
            for other, queue in lane.by_label.items()
            if other is not label and other in worker.labels and worker.loading.get(other, 0.0) <= now
        )

    def next_load(self, now: float, worker: Worker, *, arrived_before: float = math.inf) -> LoadPlan | None:
        """Return a load for one of the oldest tasks that the worker may run; set timers for those that pay later."""
        for lane in self._lanes_for(worker):
            for task in islice(lane.by_age, _LOOK_AHEAD):
                if task.label in worker.labels or task.arrived >= arrived_before:
                    continue
                pays_at = task.arrived + self._state.load_s(task.label)
                if now < pays_at and any(lane.accepts(holder) for holder in task.label.holders):
                    self._state.timers.set(pays_at, task)
                    continue
                load_s = self._state.load_s(task.label)
                eviction = self._cost_model.eviction(worker, load_s, now, forced=True)
                return None if eviction is None else LoadPlan(task.label, worker, eviction.label, task=task)
        return None

    def start(self, now: float, task: PoolTask, worker: Worker) -> None:
        """Run a task that waits here on a holder; reject it if its deadline has passed."""
        self.remove(task)
        self._state.waiting -= 1
        if task.is_late(now):
            self._state.reject_late(task, now)
        else:
            self._state.send(now, task, worker, Route.HIT if now == task.arrived else Route.WAIT)

    def start_load(self, now: float, task: PoolTask, plan: LoadPlan) -> None:
        """Run a task that waits here on a worker that loads its label; reject it if its deadline has passed."""
        self.remove(task)
        self._state.waiting -= 1
        if task.is_late(now):
            self._state.reject_late(task, now)
        else:
            route = Route.COPY if task.label.holders else Route.LOAD
            self._state.send_load(now, task, plan.worker, route, plan.evicted)

    def remove(self, task: PoolTask) -> None:
        """Take a task that waits here out."""
        lane = self._lanes[_key(task)]
        task.queued = False
        self.count -= 1
        lane.by_age.remove(task)
        queue = lane.by_label[task.label]
        queue.remove(task)
        if not queue:
            del lane.by_label[task.label]
        if not lane.by_age:
            del self._lanes[_key(task)]

    def remove_all(self) -> list[PoolTask]:
        """Take everything out."""
        tasks = [task for lane in self._lanes.values() for task in lane.by_age]
        for task in tasks:
            task.queued = False
        self._lanes.clear()
        self.count = 0
        return tasks

    def remove_stranded(self) -> list[PoolTask]:
        """Take out the tasks that were to try another worker where no other one is left."""
        pool = self._state.pool
        stranded = [lane for lane in self._lanes.values() if lane.avoids]
        stranded = [lane for lane in stranded if not pool.has_other_runner(lane.task_type, lane.avoids)]
        tasks = [task for lane in stranded for task in lane.by_age]
        for task in tasks:
            self.remove(task)
        return tasks

    def _should_try_others(self, now: float, task: PoolTask) -> bool:
        lost = task.lost
        if not lost or now >= task.others_until or all(worker_id == UNKNOWN_WORKER for worker_id in lost):
            return False
        return self._state.pool.has_other_runner(task.spec.task_type, lost)

    def _lanes_for(self, worker: Worker) -> Iterator[_Lane]:
        return (lane for lane in self._lanes.values() if lane.accepts(worker))


def _key(task: PoolTask) -> tuple[str, tuple[str, ...]]:
    return task.spec.task_type, task.avoids
