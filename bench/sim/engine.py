"""Events in order of time: arrivals, messages on their way, ends of tasks, timers of dispatchers."""

import math
import random
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Protocol

import msgspec

from bench.sim.pool import SimWorker
from bench.sim.workload import Request, Workload
from dispatcher.router import Outcome, WorkerView

STATE_INTERVAL_S = 0.05
"""Workers tell their state at most this often, and at once when they become idle."""

Call = Callable[[float], None]


class Dispatcher(Protocol):
    """A policy under test. All its calls are made in order of time."""

    def begin(self, simulation: "Simulation", number: int) -> None:
        """Before the first arrival; `number` is this dispatcher's among those of the simulation."""

    def arrived(self, now: float, index: int, request: Request) -> None:
        """A request has come."""

    def answered(self, now: float, token: int, index: int, outcome: Outcome) -> None:
        """A worker has run a request of this dispatcher."""

    def bounced(self, now: float, token: int, index: int, view: WorkerView | None) -> None:
        """A worker had no slot for a request; None: nobody in the queue group had."""

    def state(self, now: float, view: WorkerView) -> None:
        """A worker tells how busy it is."""

    def tick(self, now: float) -> None:
        """A time that was asked for has come."""


class Run(msgspec.Struct, kw_only=True):
    """What came of one run: seconds from arrival to answer by request; `failed` counts requests given up."""

    completion: list[float]
    misses: int = 0
    failed: int = 0
    bounces: int = 0
    end_s: float = 0.0
    tasks: list[int] = []
    routes: dict[str, int] = {}


class Simulation:
    """One run of a workload. `latency_s` is one way between dispatcher and worker; with 0, messages take no time."""

    def __init__(self, workload: Workload, dispatchers: list[Dispatcher], *, seed: int, latency_s: float = 0.0) -> None:
        self.workload = workload
        self.now = 0.0
        self.workers = [
            SimWorker(f"worker-{number}", workload.capacity, workload.slots) for number in range(workload.workers)
        ]
        for position, label in enumerate(workload.warm):
            self.workers[position % len(self.workers)].labels[label] = None
        self.by_id = {worker.worker_id: worker for worker in self.workers}
        self.run = Run(completion=[math.nan] * len(workload.requests), tasks=[], routes={})
        self._rng = random.Random(seed)
        self._dispatchers = dispatchers
        self._latency = latency_s
        self._events: list[tuple[float, int, Call]] = []
        self._sequence = 0
        self._arrived = [0.0] * len(workload.requests)
        self._next = 0
        self._left = len(workload.requests)
        self._woken = [math.inf] * len(dispatchers)
        self._told_at = dict.fromkeys(self.workers, -math.inf)
        self._to_tell: set[SimWorker] = set()
        # Workers with a free slot, for the queue group: those that are full are dropped when they are drawn.
        self._free = list(self.workers)
        self._in_free = set(self.workers)

    def play(self, progress: Callable[[int], None] = lambda done: None) -> Run:
        """Run until every request has its answer; `progress` hears the number of answers now and then."""
        for number, dispatcher in enumerate(self._dispatchers):
            dispatcher.begin(self, number)
        for _ in range(min(self.workload.producers or 1, len(self.workload.requests))):
            self._schedule_arrival(0.0)
        events = self._events
        told = 0
        while self._left and events:
            at, _, call = heappop(events)
            self.now = at
            call(at)
            done = len(self._arrived) - self._left
            if done >= told + 1000:
                told = done
                progress(done)
        if self._left:
            raise RuntimeError(f"{self._left} requests were never answered")
        self.run.end_s = self.now
        self.run.tasks = [worker.tasks for worker in self.workers]
        return self.run

    # ── what dispatchers call ──

    def send(self, number: int, token: int, index: int, worker: SimWorker | None, evict: str, route: str = "") -> None:
        """Send a request to a worker, or to the queue group; the answer comes to the dispatcher with this token."""
        if route:
            self.run.routes[route] = self.run.routes.get(route, 0) + 1
        if self._latency:
            self._at(self.now + self._latency, lambda now: self._deliver(now, number, token, index, worker, evict))
        else:
            self._deliver(self.now, number, token, index, worker, evict)

    def wake(self, number: int, at: float | None) -> None:
        """Call the dispatcher's `tick` then, at the latest."""
        if at is not None and at < self._woken[number]:
            self._woken[number] = at
            self._at(max(at, self.now), lambda now: self._wake(now, number, at))

    def failed(self, index: int) -> None:
        """The dispatcher gave a request up."""
        self.run.failed += 1
        self._ended(index)

    # ── events ──

    def _at(self, time: float, call: Call) -> None:
        self._sequence += 1
        heappush(self._events, (time, self._sequence, call))

    def _schedule_arrival(self, now: float) -> None:
        if self._next < len(self.workload.requests):
            index = self._next
            self._next += 1
            arrives = self.workload.requests[index].arrives
            at = now + arrives if self.workload.producers else arrives
            self._at(at, lambda now: self._arrive(now, index))

    def _arrive(self, now: float, index: int) -> None:
        if not self.workload.producers:
            self._schedule_arrival(now)
        self._arrived[index] = now
        self._dispatchers[index % len(self._dispatchers)].arrived(now, index, self.workload.requests[index])

    def _wake(self, now: float, number: int, at: float) -> None:
        if self._woken[number] == at:
            self._woken[number] = math.inf
            self._dispatchers[number].tick(now)

    def _deliver(self, now: float, number: int, token: int, index: int, worker: SimWorker | None, evict: str) -> None:
        request = self.workload.requests[index]
        worker = worker or self._any_free()
        started = None if worker is None else worker.start(now, request.label, evict, request.load_s)
        if started is None or worker is None:
            self.run.bounces += 1
            view = None if worker is None else worker.view(now)
            self._answer(lambda now: self._dispatchers[number].bounced(now, token, index, view))
            return
        hit, wait_s, evicted = started
        self.run.misses += not hit
        self._at(
            now + wait_s + request.run_s,
            lambda now: self._end(now, number, token, index, worker, hit=hit, load_s=wait_s, evicted=evicted),
        )
        self._tell(now, worker)

    def _end(
        self,
        now: float,
        number: int,
        token: int,
        index: int,
        worker: SimWorker,
        *,
        hit: bool,
        load_s: float,
        evicted: str,
    ) -> None:
        request = self.workload.requests[index]
        worker.end(request.label)
        if worker not in self._in_free:
            self._in_free.add(worker)
            self._free.append(worker)
        outcome = Outcome(
            ok=True,
            label_hit=hit,
            load_ms=load_s * 1e3,
            run_ms=request.run_s * 1e3,
            evicted_label=evicted,
            view=worker.view(now),
            worker_id=worker.worker_id,
        )

        def answered(now: float) -> None:
            self.run.completion[index] = now - self._arrived[index]
            self._dispatchers[number].answered(now, token, index, outcome)
            self._ended(index)

        self._answer(answered)
        self._tell(now, worker)

    def _answer(self, call: Call) -> None:
        # Even with no latency an answer is an event of its own: a dispatcher is never called from within its call.
        self._at(self.now + self._latency, call)

    def _ended(self, index: int) -> None:
        self._left -= 1
        if self.workload.producers:
            self._schedule_arrival(self.now)

    def _any_free(self) -> SimWorker | None:
        free = self._free
        while free:
            position = int(self._rng.random() * len(free))
            worker = free[position]
            if not worker.full:
                return worker
            free[position] = free[-1]
            free.pop()
            self._in_free.discard(worker)
        return None

    def _tell(self, now: float, worker: SimWorker) -> None:
        if len(self._dispatchers) == 1:
            return
        idle = worker.running == 0
        next_at = self._told_at[worker] + STATE_INTERVAL_S
        if idle or now >= next_at:
            self._tell_now(now, worker)
        elif worker not in self._to_tell:
            self._to_tell.add(worker)
            self._at(next_at, lambda now: self._tell_later(now, worker))

    def _tell_later(self, now: float, worker: SimWorker) -> None:
        self._to_tell.discard(worker)
        if now >= self._told_at[worker] + STATE_INTERVAL_S:
            self._tell_now(now, worker)

    def _tell_now(self, now: float, worker: SimWorker) -> None:
        self._told_at[worker] = now
        view = worker.view(now)
        for dispatcher in self._dispatchers:
            self._at(now + self._latency, lambda now, dispatcher=dispatcher: dispatcher.state(now, view))  # type: ignore[misc]
