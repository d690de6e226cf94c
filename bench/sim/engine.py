"""Events in order of time: arrivals, messages on their way, ends of tasks, timers of dispatchers."""

import math
from heapq import heappush
from typing import Protocol

import msgspec

from bench.sim.pool import SimWorker
from bench.sim.workload import Request, Workload
from dispatcher.router import Outcome, WorkerView


class Link(Protocol):
    """What a dispatcher can do in the simulation."""

    now: float

    def send(self, dispatcher: int, token: int, index: int, worker: SimWorker, evict: str) -> None:
        """Send request `index` to a worker; the answer comes to the dispatcher with this token."""

    def wake(self, dispatcher: int, at: float) -> None:
        """Call the dispatcher's `tick` then."""

    def failed(self, index: int) -> None:
        """The dispatcher gave request `index` up."""


class Dispatcher(Protocol):
    """A policy under test. All its calls are made in order of time."""

    def begin(self, link: "Simulation", number: int, workers: list[SimWorker]) -> None:
        """Before the first arrival."""

    def arrived(self, now: float, index: int, request: Request) -> None:
        """A request has come."""

    def answered(self, now: float, token: int, index: int, outcome: Outcome) -> None:
        """A worker has run a request of this dispatcher."""

    def bounced(self, now: float, token: int, index: int, view: WorkerView) -> None:
        """A worker had no slot for a request."""

    def state(self, now: float, view: WorkerView) -> None:
        """A worker tells all dispatchers how busy it is."""

    def tick(self, now: float) -> None:
        """A time that was asked for has come."""


class Run(msgspec.Struct, kw_only=True):
    """What came of one run: times in seconds by request; `failed` counts requests that were given up."""

    workload: str
    completion: list[float]
    misses: int = 0
    failed: int = 0
    bounces: int = 0
    evictions: int = 0
    end: float = 0.0
    tasks: list[int] = []
    routes: dict[str, int] = {}


_ARRIVE, _DELIVER, _END, _ANSWER, _BOUNCE, _STATE, _WAKE, _BROADCAST = range(8)
STATE_INTERVAL_S = 0.05
"""Workers tell their state at most this often, and at once when they become idle."""


class Simulation:
    """One run of a workload. `latency_s` is one way between dispatcher and worker; with 0 messages take no time."""

    def __init__(self, workload: Workload, dispatchers: list[Dispatcher], *, latency_s: float = 0.0) -> None:
        self._workload = workload
        self._dispatchers = dispatchers
        self._latency = latency_s
        self._events: list[tuple[float, int, int, tuple[object, ...]]] = []
        self._sequence = 0
        self.now = 0.0
        self.workers = [
            SimWorker(f"worker-{number}", workload.capacity, workload.slots) for number in range(workload.workers)
        ]
        for position, label in enumerate(workload.warm):
            self.workers[position % len(self.workers)].labels[label] = None
        self._arrived = [0.0] * len(workload.requests)
        self._told = dict.fromkeys(self.workers, -math.inf)
        self._next = 0
        self._woken = [math.inf] * len(dispatchers)
        self.run = Run(workload=workload.name, completion=[math.nan] * len(workload.requests))

    def _at(self, time: float, kind: int, *payload: object) -> None:
        self._sequence += 1
        heappush(self._events, (time, self._sequence, kind, payload))
