"""Who sends what where: the production router, and the policies that it is compared with."""

import random
from collections import deque
from collections.abc import Callable

from bench.sim.engine import Dispatcher, Simulation
from bench.sim.pool import SimWorker
from bench.sim.reference import LateBinding
from bench.sim.workload import Request
from dispatcher.router import Assign, Command, Outcome, Router, RouterPolicy, TaskSpec, WorkerView


class RouterDispatcher:
    """The production router, driven as the dispatcher's service drives it."""

    def __init__(self, policy: RouterPolicy, seed: int) -> None:
        self._router: Router[int] = Router(policy, rng=random.Random(seed))

    def begin(self, simulation: Simulation, number: int) -> None:
        """Let it know all workers."""
        self._simulation = simulation
        self._number = number
        for worker in simulation.workers:
            self._obey(self._router.worker_seen(0.0, worker.view()))

    def arrived(self, now: float, index: int, request: Request) -> None:
        """A task for the router."""
        self._obey(
            self._router.submit(now, TaskSpec(task_id=str(index), task_type="task", label=request.label, item=index))
        )

    def answered(self, now: float, token: int, index: int, outcome: Outcome) -> None:
        """A result for the router."""
        self._obey(self._router.finished(now, token, outcome).commands)

    def bounced(self, now: float, token: int, index: int, view: WorkerView | None) -> None:
        """BUSY, or no responders."""
        self._obey(self._router.bounced(now, token, no_responders=view is None, view=view))

    def state(self, now: float, view: WorkerView) -> None:
        """A worker's state message."""
        self._obey(self._router.worker_seen(now, view))

    def tick(self, now: float) -> None:
        """The router's timer."""
        self._obey(self._router.tick(now))

    def _obey(self, commands: list[Command[int]]) -> None:
        simulation = self._simulation
        for command in commands:
            index = command.task.item
            if isinstance(command, Assign):
                worker = None if command.worker_id is None else simulation.by_id[command.worker_id]
                simulation.send(
                    self._number, command.assignment_id, index, worker, command.evict_label, command.route.value
                )
            else:
                simulation.failed(index)
        simulation.wake(self._number, self._router.next_wake())


class SmartDispatch:
    """The published smart dispatch: an idle holder if there is one, else any idle worker, else a common queue."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._queue: deque[int] = deque()

    def begin(self, simulation: Simulation, number: int) -> None:
        """All workers are idle."""
        self._simulation = simulation
        self._number = number
        self._idle = dict.fromkeys(simulation.workers, 0)

    def arrived(self, now: float, index: int, request: Request) -> None:
        """Run it now, or queue it."""
        if self._idle:
            self._start(index, request)
        else:
            self._queue.append(index)

    def answered(self, now: float, token: int, index: int, outcome: Outcome) -> None:
        """The worker is free for whatever is first."""
        worker = self._simulation.by_id[outcome.worker_id]
        self._idle[worker] = 0
        if self._queue:
            first = self._queue.popleft()
            self._start(first, self._simulation.workload.requests[first])

    def bounced(self, now: float, token: int, index: int, view: WorkerView | None) -> None:
        """Cannot be: it knows every worker exactly."""
        raise AssertionError("the only dispatcher met a busy worker")

    def state(self, now: float, view: WorkerView) -> None:
        """Nothing new."""

    def tick(self, now: float) -> None:
        """It asks for no timers."""

    def _start(self, index: int, request: Request) -> None:
        holders = [worker for worker in self._idle if worker.holds(request.label)]
        worker: SimWorker = self._rng.choice(holders or list(self._idle))
        if worker.running + 1 >= worker.slots:
            del self._idle[worker]
        self._simulation.send(self._number, index, index, worker, "")


POLICIES: dict[str, Callable[[int], Dispatcher]] = {
    "random": lambda seed: RouterDispatcher(
        RouterPolicy(mode="random", max_waiting=10**9, max_waiting_per_label=10**9), seed
    ),
    "smart": SmartDispatch,
    "reference": LateBinding,
    "labelbus": lambda seed: RouterDispatcher(RouterPolicy(max_waiting=10**9, max_waiting_per_label=10**9), seed),
}
"""The policies by name; each is made from a seed."""

SINGLE = frozenset({"smart", "reference"})
"""Policies that are only defined for one dispatcher."""
