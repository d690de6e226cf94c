"""The policy `now`: load at once, evict the least recently used label, wait only for a holder that is quicker.

Where tasks share passes, a task joins the pass of its label that a worker has not begun, and the worker gets all tasks
of a label that are bound to it and may share its place.
"""

from collections import OrderedDict, deque

import msgspec

from bench.sim.engine import Simulation
from bench.sim.pool import SimWorker
from bench.sim.workload import Request
from bus.pass_times import PassTimes, PooledShare
from dispatcher.router import Outcome, WorkerView

PRIOR_LOAD_S = 1.0
PRIOR_RUN_S = 0.05
RUN_ALPHA = 0.1


class _Pass(msgspec.Struct):
    """A pass that gathers: when it should begin, and the tasks in it."""

    starts_at: float
    size: int = 0


class _Bound:
    """One worker: its labels, the least recently used first, and the tasks that are bound to it."""

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels: OrderedDict[str, None] = OrderedDict.fromkeys(labels)
        self.queue: deque[tuple[int, str]] = deque()
        self.queues: dict[str, deque[tuple[int, str]]] = {}
        """The queue by label, where tasks share passes."""
        self.passes: dict[str, _Pass] = {}
        self.running = 0
        self.free_at = 0.0
        self.ready_at: dict[str, float] = {}

    def loads_until(self, now: float) -> float:
        """Return when the last of its loads should be done, now if there is none."""
        return max(now, max(self.ready_at.values(), default=0.0))


class Now:
    """Early binding: each task goes to the worker that should end it first, by the run and load times seen so far."""

    def __init__(self, seed: int) -> None:
        del seed
        self._load_s: dict[str, float] = {}
        self._run_s: dict[str, float] = {}
        self._pool = PooledShare()
        self._any = PassTimes()  # for labels that have not run
        self._laws: dict[str, PassTimes] = {}

    def begin(self, simulation: Simulation, number: int) -> None:
        """Begin with all workers idle."""
        self._simulation = simulation
        self._number = number
        self._beside = simulation.workload.overlap
        self._most = simulation.workload.pass_tasks
        self._workers = {worker: _Bound(worker.view().labels) for worker in simulation.workers}

    def arrived(self, now: float, index: int, request: Request) -> None:
        """Bind the request to a worker."""
        label = request.label
        worker = min(self._workers, key=lambda worker: self._starts_at(now, label, self._workers[worker]))
        bound = self._workers[worker]
        starts_at, _ = self._starts_at(now, label, bound)
        evict = ""
        if label in bound.labels:
            bound.labels.move_to_end(label)
        else:
            if len(bound.labels) >= worker.cache.capacity:
                evict, _ = bound.labels.popitem(last=False)
                bound.ready_at.pop(evict, None)
                bound.passes.pop(evict, None)
            bound.labels[label] = None
            bound.ready_at[label] = starts_at
        if self._most > 1:
            self._join(now, label, bound, starts_at, worker.slots)
            bound.queues.setdefault(label, deque()).append((index, evict))
        else:
            bound.free_at = starts_at + self._run_s.get(label, PRIOR_RUN_S) / worker.slots
            bound.queue.append((index, evict))
        self._serve(worker, bound)

    def answered(self, now: float, assignment_id: int, index: int, outcome: Outcome) -> None:
        """Learn the times, and start the worker's next task."""
        label = self._simulation.workload.requests[index].label
        run_s = outcome.run_ms / 1e3
        known = self._run_s.setdefault(label, run_s)
        self._run_s[label] = known + RUN_ALPHA * (run_s - known)
        if self._most > 1:
            for law in (self._law(label), self._any):
                law.observe(outcome.pass_size, run_s, weight=1.0 / outcome.pass_size)
        if not outcome.label_hit and outcome.load_ms:
            self._load_s[label] = outcome.load_ms / 1e3
        worker = self._simulation.by_id[outcome.worker_id]
        bound = self._workers[worker]
        bound.running -= 1
        bound.ready_at = {name: at for name, at in bound.ready_at.items() if at > now}
        if not bound.queue and not bound.queues and not bound.running:
            bound.free_at = now
        self._serve(worker, bound)

    def bounced(self, now: float, assignment_id: int, index: int, view: WorkerView | None) -> None:
        """Fail: a lone dispatcher knows the state of every worker."""
        raise AssertionError("the only dispatcher met a busy worker")

    def state(self, now: float, view: WorkerView) -> None:
        """Ignore the state, which is known."""

    def tick(self, now: float) -> None:
        """Do nothing: no timers are set."""

    def _starts_at(self, now: float, label: str, bound: _Bound) -> tuple[float, bool]:
        """Return when a run of the label could start on the worker, and whether it needs a load (worse if equal)."""
        gathering = bound.passes.get(label)
        if gathering is not None and gathering.starts_at > now and gathering.size < self._most:
            return gathering.starts_at, False
        free_at = max(now, bound.free_at)
        if label in bound.labels:
            return max(free_at, bound.ready_at.get(label, 0.0)), False
        load_s = self._load_s.get(label, PRIOR_LOAD_S)
        return (max(free_at, bound.loads_until(now) + load_s) if self._beside else free_at + load_s), True

    def _law(self, label: str) -> PassTimes:
        law = self._laws.get(label)
        if law is None:
            law = self._laws[label] = PassTimes(self._pool)
        return law

    def _join(self, now: float, label: str, bound: _Bound, starts_at: float, slots: int) -> None:
        """Count a task into the pass of its label that gathers, or into a new one after all that is bound."""
        law = self._law(label) if self._law(label).is_seen else self._any
        fixed_s, unit_s = (law.fixed_s, law.unit_s) if law.is_seen else (0.0, PRIOR_RUN_S)
        gathering = bound.passes.get(label)
        if gathering is None or gathering.starts_at <= now or gathering.size >= self._most:
            gathering = bound.passes[label] = _Pass(starts_at)
            bound.free_at = starts_at + fixed_s / slots
        gathering.size += 1
        bound.free_at += unit_s / slots

    def _serve(self, worker: SimWorker, bound: _Bound) -> None:
        while bound.queues:
            label = min(
                (name for name in bound.queues if worker.admits(name)),
                key=lambda name: bound.queues[name][0],
                default=None,
            )
            if label is None:
                break
            index, evict = bound.queues[label].popleft()
            if not bound.queues[label]:
                del bound.queues[label]
            bound.running += 1
            self._simulation.send(self._number, index, index, worker, evict)
        room = worker.slots + (self._simulation.workload.window if self._beside else 0)
        while bound.queue and bound.running < room:
            index, evict = bound.queue.popleft()
            bound.running += 1
            self._simulation.send(self._number, index, index, worker, evict)
