"""The policy `now`: load at once, evict the least recently used label, wait only for a holder that is quicker."""

from collections import OrderedDict, deque

from bench.sim.engine import Simulation
from bench.sim.pool import SimWorker
from bench.sim.workload import Request
from dispatcher.router import Outcome, WorkerView

PRIOR_LOAD_S = 1.0
PRIOR_RUN_S = 0.05
RUN_ALPHA = 0.1


class _Bound:
    """One worker: its labels, the least recently used first, and the tasks that are bound to it."""

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels: OrderedDict[str, None] = OrderedDict.fromkeys(labels)
        self.queue: deque[tuple[int, str]] = deque()
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

    def begin(self, simulation: Simulation, number: int) -> None:
        """Begin with all workers idle."""
        self._simulation = simulation
        self._number = number
        self._beside = simulation.workload.overlap
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
            bound.labels[label] = None
            bound.ready_at[label] = starts_at
        bound.free_at = starts_at + self._run_s.get(label, PRIOR_RUN_S) / worker.slots
        bound.queue.append((index, evict))
        self._serve(worker, bound)

    def answered(self, now: float, assignment_id: int, index: int, outcome: Outcome) -> None:
        """Learn the times, and start the worker's next task."""
        label = self._simulation.workload.requests[index].label
        run_s = outcome.run_ms / 1e3
        known = self._run_s.setdefault(label, run_s)
        self._run_s[label] = known + RUN_ALPHA * (run_s - known)
        if not outcome.label_hit and outcome.load_ms:
            self._load_s[label] = outcome.load_ms / 1e3
        worker = self._simulation.by_id[outcome.worker_id]
        bound = self._workers[worker]
        bound.running -= 1
        bound.ready_at = {name: at for name, at in bound.ready_at.items() if at > now}
        if not bound.queue and not bound.running:
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
        free_at = max(now, bound.free_at)
        if label in bound.labels:
            return max(free_at, bound.ready_at.get(label, 0.0)), False
        load_s = self._load_s.get(label, PRIOR_LOAD_S)
        return (max(free_at, bound.loads_until(now) + load_s) if self._beside else free_at + load_s), True

    def _serve(self, worker: SimWorker, bound: _Bound) -> None:
        room = worker.slots + (self._simulation.workload.window if self._beside else 0)
        while bound.queue and bound.running < room:
            index, evict = bound.queue.popleft()
            bound.running += 1
            self._simulation.send(self._number, index, index, worker, evict)
