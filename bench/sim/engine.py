"""The event loop of the simulation: arrivals, messages, ends of tasks and timers, in order of time."""

import math
import random
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Protocol

import msgspec

from bench.sim.pool import Call, Job, SimWorker
from bench.sim.workload import Request, Workload
from dispatcher.router import Outcome, WorkerView
from worker.report import IDLE_INTERVAL_S, STATE_INTERVAL_S


class Dispatcher(Protocol):
    """A policy under test. Its methods are called in order of time."""

    def begin(self, simulation: "Simulation", number: int) -> None:
        """Begin, before the first arrival; `number` is the index of this dispatcher in the simulation."""

    def arrived(self, now: float, index: int, request: Request) -> None:
        """Take a request that has arrived."""

    def answered(self, now: float, assignment_id: int, index: int, outcome: Outcome) -> None:
        """Take the result of a request of this dispatcher."""

    def bounced(self, now: float, assignment_id: int, index: int, view: WorkerView | None) -> None:
        """Take back a request that a worker had no slot for; `view` is None if no worker of the queue group had one."""

    def state(self, now: float, view: WorkerView) -> None:
        """Take a worker's message about its state."""

    def tick(self, now: float) -> None:
        """Act on a timer that was set with `Simulation.wake`."""


class Run(msgspec.Struct, kw_only=True):
    """The result of one run: `completion` has the seconds from arrival to answer of each request.

    `failed` counts the requests that a dispatcher rejected.
    """

    completion: list[float]
    misses: int = 0
    failed: int = 0
    bounces: int = 0
    passes: int = 0
    end_s: float = 0.0
    tasks: list[int] = []
    routes: dict[str, int] = {}


class Simulation:
    """One run of a workload. `latency_s` is one way between dispatcher and worker; with 0, messages take no time."""

    def __init__(self, workload: Workload, dispatchers: list[Dispatcher], *, seed: int, latency_s: float = 0.0) -> None:
        self.workload = workload
        self.now = 0.0
        self.workers = [
            SimWorker(
                f"worker-{number}",
                capacity=workload.capacity,
                slots=workload.slots,
                window=workload.window,
                overlap=workload.overlap,
                pass_tasks=workload.pass_tasks,
                fixed_s=workload.fixed_s,
                at=self._at,
                changed=self._changed,
            )
            for number in range(workload.workers)
        ]
        load_s = {request.label: request.load_s for request in workload.requests} if workload.warm else {}
        for position, worker in enumerate(self.workers):
            worker.warm((label, load_s.get(label, 1.0)) for label in workload.warm[position :: len(self.workers)])
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
        self._tell_at = dict.fromkeys(self.workers, math.inf)
        # Workers with a free slot, for the queue group; full ones are dropped when they are drawn.
        self._free = list(self.workers)
        self._in_free = set(self.workers)

    def play(self, progress: Callable[[int], None] = lambda done: None) -> Run:
        """Run until every request has its answer; `progress` is called with the number of answers, once in 1,000."""
        for number, dispatcher in enumerate(self._dispatchers):
            dispatcher.begin(self, number)
        for _ in range(min(self.workload.producers or 1, len(self.workload.requests))):
            self._schedule_arrival(0.0)
        events = self._events
        reported = 0
        while self._left and events:
            at, _, call = heappop(events)
            self.now = at
            call(at)
            done = len(self._arrived) - self._left
            if done >= reported + 1000:
                reported = done
                progress(done)
        if self._left:
            raise RuntimeError(f"{self._left} requests were never answered")
        self.run.end_s = self.now
        self.run.tasks = [worker.tasks for worker in self.workers]
        self.run.misses = sum(worker.loads for worker in self.workers)
        self.run.passes = sum(worker.passes for worker in self.workers)
        return self.run

    # ── calls of dispatchers ──

    def send(
        self, number: int, assignment_id: int, index: int, worker: SimWorker | None, evict: str, route: str = ""
    ) -> None:
        """Send a request to a worker, or to the queue group if `worker` is None.

        The answer comes to dispatcher `number` with this assignment id.
        """
        if route:
            self.run.routes[route] = self.run.routes.get(route, 0) + 1
        if self._latency:
            self._at(self._later(), lambda now: self._deliver(now, number, assignment_id, index, worker, evict))
        else:
            self._deliver(self.now, number, assignment_id, index, worker, evict)

    def wake(self, number: int, at: float | None) -> None:
        """Call the dispatcher's `tick` at this time, or earlier if it was asked for earlier."""
        if at is not None and at < self._woken[number]:
            self._woken[number] = at
            self._at(max(at, self.now), lambda now: self._wake(now, number, at))

    def failed(self, index: int) -> None:
        """Count a request that a dispatcher rejected."""
        self.run.failed += 1
        self._ended(index)

    # ── events ──

    def _at(self, time: float, call: Call) -> None:
        self._sequence += 1
        heappush(self._events, (time, self._sequence, call))

    def _later(self) -> float:
        """Draw the time at which a message that is sent now arrives; messages of one moment come in random order."""
        return self.now + self._latency * (0.75 + 0.5 * self._rng.random()) if self._latency else self.now

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

    def _deliver(
        self, now: float, number: int, assignment_id: int, index: int, worker: SimWorker | None, evict: str
    ) -> None:
        request = self.workload.requests[index]
        worker = worker or self._any_free()
        job = Job(
            request.label,
            request.run_s,
            request.load_s,
            evict,
            lambda now, job: self._end(now, number, assignment_id, index, worker, job),
        )
        if worker is None or not worker.take(now, job):
            self.run.bounces += 1
            view = None if worker is None else worker.view()
            self._answer(lambda now: self._dispatchers[number].bounced(now, assignment_id, index, view))

    def _end(self, now: float, number: int, assignment_id: int, index: int, worker: SimWorker | None, job: Job) -> None:
        assert worker is not None
        if worker not in self._in_free and not worker.full:
            self._in_free.add(worker)
            self._free.append(worker)
        outcome = Outcome(
            ok=True,
            label_hit=job.hit,
            load_ms=job.waited_s * 1e3,
            run_ms=job.pass_s * 1e3,
            pass_size=job.pass_size,
            evicted_label=job.evicted,
            view=worker.view(),
            worker_id=worker.worker_id,
        )

        def answered(now: float) -> None:
            self.run.completion[index] = now - self._arrived[index]
            self._dispatchers[number].answered(now, assignment_id, index, outcome)
            self._ended(index)

        self._answer(answered)

    def _answer(self, call: Call) -> None:
        # Even with no latency an answer is an event of its own: a dispatcher is never called from within its call.
        self._at(self._later(), call)

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

    def _changed(self, now: float, worker: SimWorker, news: bool) -> None:
        """Tell the dispatchers a state, as seldom as the production worker does.

        A lone dispatcher without latency needs no message: each answer brings the state.
        """
        if len(self._dispatchers) == 1 and not self._latency:
            return
        due = self._told_at[worker] + (IDLE_INTERVAL_S if news else STATE_INTERVAL_S)
        if due <= now:
            self._tell(now, worker)
        elif due < self._tell_at[worker]:
            self._tell_at[worker] = due
            self._at(due, lambda now: self._tell(now, worker) if self._tell_at[worker] == due else None)

    def _tell(self, now: float, worker: SimWorker) -> None:
        self._told_at[worker] = now
        self._tell_at[worker] = math.inf
        view = worker.view()
        for dispatcher in self._dispatchers:
            self._at(self._later(), lambda now, dispatcher=dispatcher: dispatcher.state(now, view))  # type: ignore[misc]
