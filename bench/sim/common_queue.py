"""Random and smart dispatch where tasks share passes: a common queue, from which a label is taken with its tasks."""

import random
from collections import deque

from bench.sim.engine import Simulation
from bench.sim.pool import SimWorker
from bench.sim.workload import Request
from dispatcher.router import Outcome, WorkerView


class CommonQueue:
    """A queue before all workers, the oldest task first.

    A worker with a free place takes that task and those of its label, as many as may share the place. Of several
    workers it is any, or with `holders_first` one that holds the label if there is one.
    """

    def __init__(self, seed: int, *, holders_first: bool) -> None:
        self._rng = random.Random(seed)
        self._holders_first = holders_first
        self._queues: dict[str, deque[int]] = {}

    def begin(self, simulation: Simulation, number: int) -> None:
        """Begin with all workers idle."""
        self._simulation = simulation
        self._number = number

    def arrived(self, now: float, index: int, request: Request) -> None:
        """Start the request on a worker, or queue it."""
        self._queues.setdefault(request.label, deque()).append(index)
        self._serve([worker for worker in self._simulation.workers if worker.has_room])

    def answered(self, now: float, assignment_id: int, index: int, outcome: Outcome) -> None:
        """Start the first queued request on the worker."""
        worker = self._simulation.by_id[outcome.worker_id]
        if worker.has_room:
            self._serve([worker])

    def bounced(self, now: float, assignment_id: int, index: int, view: WorkerView | None) -> None:
        """Fail: a lone dispatcher knows the state of every worker."""
        raise AssertionError("the only dispatcher met a busy worker")

    def state(self, now: float, view: WorkerView) -> None:
        """Ignore the state, which is known."""

    def tick(self, now: float) -> None:
        """Do nothing: no timers are set."""

    def _serve(self, idle: list[SimWorker]) -> None:
        while idle and self._queues:
            label = min(self._queues, key=lambda name: self._queues[name][0])
            holders = [worker for worker in idle if worker.holds(label)] if self._holders_first else []
            worker = self._rng.choice(holders or idle)
            queue = self._queues[label]
            self._send(queue.popleft(), worker)
            while queue and worker.gathers(label):
                self._send(queue.popleft(), worker)
            if not queue:
                del self._queues[label]
            idle = [worker for worker in idle if worker.has_room]

    def _send(self, index: int, worker: SimWorker) -> None:
        self._simulation.send(self._number, index, index, worker, "")
