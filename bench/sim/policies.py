"""The policies: the production router, random dispatch, the published smart dispatch, and the reference."""

import random
from collections import deque
from collections.abc import Callable

import msgspec

from bench.sim.common_queue import CommonQueue
from bench.sim.engine import Dispatcher, Simulation
from bench.sim.now import Now
from bench.sim.pool import TASK_TYPE, SimWorker
from bench.sim.reference import LateBinding
from bench.sim.workload import Request, Workload
from dispatcher.router import Assign, Command, Limits, Outcome, Router, RouterPolicy, TaskSpec, WorkerView


class RouterDispatcher:
    """A dispatcher that drives the production router as the dispatcher's service does."""

    def __init__(self, policy: RouterPolicy, seed: int) -> None:
        self._router: Router[int] = Router(policy, rng=random.Random(seed))

    def begin(self, simulation: Simulation, number: int) -> None:
        """Tell the router of all workers."""
        self._simulation = simulation
        self._number = number
        for worker in simulation.workers:
            self._obey(self._router.worker_seen(0.0, worker.view()))

    def arrived(self, now: float, index: int, request: Request) -> None:
        """Submit a task to the router."""
        self._obey(
            self._router.submit(now, TaskSpec(task_id=str(index), task_type=TASK_TYPE, label=request.label, item=index))
        )

    def answered(self, now: float, assignment_id: int, index: int, outcome: Outcome) -> None:
        """Tell the router a result."""
        self._obey(self._router.finished(now, assignment_id, outcome).commands)

    def bounced(self, now: float, assignment_id: int, index: int, view: WorkerView | None) -> None:
        """Tell the router that a worker was busy, or that there were no responders."""
        self._obey(self._router.bounced(now, assignment_id, no_responders=view is None, view=view))

    def state(self, now: float, view: WorkerView) -> None:
        """Tell the router a worker's state."""
        self._obey(self._router.worker_seen(now, view))

    def tick(self, now: float) -> None:
        """Tick the router."""
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
    """The published smart dispatch: an idle worker that holds the label, else any idle worker, else a common queue."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._queue: deque[int] = deque()

    def begin(self, simulation: Simulation, number: int) -> None:
        """Begin with all workers idle."""
        self._simulation = simulation
        self._number = number
        self._idle = dict.fromkeys(simulation.workers, 0)

    def arrived(self, now: float, index: int, request: Request) -> None:
        """Start the request on an idle worker, or queue it."""
        if self._idle:
            self._start(index, request)
        else:
            self._queue.append(index)

    def answered(self, now: float, assignment_id: int, index: int, outcome: Outcome) -> None:
        """Start the first queued request on the worker."""
        worker = self._simulation.by_id[outcome.worker_id]
        self._idle[worker] = 0
        if self._queue:
            first = self._queue.popleft()
            self._start(first, self._simulation.workload.requests[first])

    def bounced(self, now: float, assignment_id: int, index: int, view: WorkerView | None) -> None:
        """Fail: a lone dispatcher knows the state of every worker."""
        raise AssertionError("the only dispatcher met a busy worker")

    def state(self, now: float, view: WorkerView) -> None:
        """Ignore the state, which is known."""

    def tick(self, now: float) -> None:
        """Do nothing: no timers are set."""

    def _start(self, index: int, request: Request) -> None:
        holders = [worker for worker in self._idle if worker.holds(request.label)]
        worker: SimWorker = self._rng.choice(holders or list(self._idle))
        if worker.running + 1 >= worker.slots:
            del self._idle[worker]
        self._simulation.send(self._number, index, index, worker, "")


UNLIMITED = Limits(max_waiting=10**9, max_waiting_per_label=10**9)

POLICIES: dict[str, Callable[[int], Dispatcher]] = {
    "random": lambda seed: RouterDispatcher(RouterPolicy(mode="random", limits=UNLIMITED), seed),
    "smart": SmartDispatch,
    "reference": LateBinding,
    "now": Now,
    "labelbus": lambda seed: RouterDispatcher(RouterPolicy(limits=UNLIMITED), seed),
}
"""Policies by name, each made from a seed."""

SINGLE = frozenset({"smart", "reference", "now"})
"""Names of policies that are defined for one dispatcher only."""

IN_PASSES: dict[str, Callable[[int], Dispatcher]] = {
    "random": lambda seed: CommonQueue(seed, holders_first=False),
    "smart": lambda seed: CommonQueue(seed, holders_first=True),
}
"""The policies that are others where tasks share passes."""

ONE_AT_A_TIME = "one at a time"
"""The router on workers without passes."""
WINDOW_0 = "window 0"
"""The router on workers without a window."""


def workload_for(policy: str, workload: Workload) -> Workload:
    """Return the workload as it is under the policy: the same requests, on workers as the policy has them."""
    if policy == ONE_AT_A_TIME:
        return msgspec.structs.replace(workload, pass_tasks=1)
    if policy == WINDOW_0:
        return msgspec.structs.replace(workload, window=0, overlap=False)
    return workload


def dispatcher_for(policy: str, workload: Workload, seed: int) -> Dispatcher:
    """Make a dispatcher with the policy, for the workload."""
    if workload.pass_tasks > 1 and policy in IN_PASSES:
        return IN_PASSES[policy](seed)
    return POLICIES["labelbus" if policy in (ONE_AT_A_TIME, WINDOW_0) else policy](seed)
