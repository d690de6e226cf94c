"""The reference: late binding as it was first written down, in a page. The router must be at least as good.

A task waits in its label's queue until a worker is free. A worker that becomes free takes tasks of labels that it holds
first, oldest first, then loads the waiting label that gains most. The reference counts one task at a time on a worker
and looks at all labels. Where tasks share passes, a worker takes those of a label together, as many as may share one
place.
"""

import math
import random
from collections import deque

from bench.sim.engine import Simulation
from bench.sim.pool import SimWorker
from bench.sim.workload import Request
from bus.pass_times import PassTimes, PooledShare
from dispatcher.router import Outcome, WorkerView

SAMPLE = 16
TAU_S = 30.0


class _Label:
    def __init__(self, pool: PooledShare) -> None:
        self.passes = PassTimes(pool)
        self.queue: deque[tuple[float, int]] = deque()
        self.arrivals = 0.0
        self.holders: dict[SimWorker, None] = {}  # in order: a set of objects has another one in each process
        self.rate = self.seen = 0.0
        self.load_s = 1.0
        self.run_s = 0.05
        self.look_at = math.inf


class LateBinding:
    """The reference policy. It knows the true state of workers, and learns run and load times."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._labels: dict[str, _Label] = {}
        self._pool = PooledShare()

    def begin(self, simulation: Simulation, number: int) -> None:
        """Begin with all workers idle."""
        self._simulation = simulation
        self._number = number
        self._most = simulation.workload.pass_tasks
        self._held: dict[SimWorker, list[str]] = {w: list(w.view().labels) for w in simulation.workers}
        self._running = dict.fromkeys(simulation.workers, 0)
        self._ends = dict.fromkeys(simulation.workers, 0.0)
        self._looks: dict[str, float] = {}
        for worker, labels in self._held.items():
            for name in labels:
                self._label(name).holders[worker] = None

    def arrived(self, now: float, index: int, request: Request) -> None:
        """Start the request on an idle holder of its label, or let it wait."""
        label = self._label(request.label)
        label.rate = label.rate * math.exp((label.seen - now) / TAU_S) + 1.0 / TAU_S
        label.seen = now
        label.queue.append((now, index))
        label.arrivals += now
        holder = next((w for w in label.holders if self._free(w)), None)
        if holder is not None:
            self._start(now, request.label, holder)
        else:
            self._consider(now, request.label)

    def answered(self, now: float, assignment_id: int, index: int, outcome: Outcome) -> None:
        """Give the worker a task of a label that it holds, or else the load that gains most."""
        worker = self._simulation.by_id[outcome.worker_id]
        request = self._simulation.workload.requests[index]
        label = self._label(request.label)
        if self._most > 1:
            label.passes.observe(outcome.pass_size, outcome.run_ms / 1e3, weight=1.0 / outcome.pass_size)
            label.run_s = label.passes.single_s
        else:
            label.run_s += 0.1 * (outcome.run_ms / 1e3 - label.run_s)
        if not outcome.label_hit:
            label.load_s = outcome.load_ms / 1e3
        self._running[worker] -= 1
        if self._most > 1 and not worker.has_room:
            return
        held = [name for name in self._held[worker] if self._label(name).queue]
        if held:
            self._start(now, min(held, key=lambda name: self._label(name).queue[0]), worker)
            return
        waiting = [name for name, label in self._labels.items() if label.queue]
        best = max(waiting, key=lambda name: self._benefit(now, name), default=None)
        if best is not None:
            benefit = self._benefit(now, best)
            cost = max(self._cost(now, worker, self._label(best).load_s), 0.0)
            if benefit >= cost:
                self._load(now, best, worker)
            elif benefit > -math.inf:
                self._look_again(now, best, cost - benefit)

    def bounced(self, now: float, assignment_id: int, index: int, view: WorkerView | None) -> None:
        """Fail: a lone dispatcher knows the state of every worker."""
        raise AssertionError("the only dispatcher met a busy worker")

    def state(self, now: float, view: WorkerView) -> None:
        """Ignore the state, which is known."""

    def tick(self, now: float) -> None:
        """Consider again the labels whose load did not pay before."""
        for name in [name for name, at in self._looks.items() if at <= now]:
            del self._looks[name]
            self._consider(now, name)
        if self._looks:
            self._simulation.wake(self._number, min(self._looks.values()))

    def _label(self, name: str) -> _Label:
        label = self._labels.get(name)
        if label is None:
            label = self._labels[name] = _Label(self._pool)
        return label

    def _free(self, worker: SimWorker) -> bool:
        return worker.has_room if self._most > 1 else self._running[worker] < worker.slots

    def _consider(self, now: float, name: str) -> None:
        label = self._label(name)
        benefit = self._benefit(now, name) if label.queue else 0.0
        if benefit <= 0:
            return
        idle = [w for w in self._simulation.workers if self._free(w)]
        sampled = idle if len(idle) <= SAMPLE else self._rng.sample(idle, SAMPLE)
        priced = [
            (self._cost(now, w, label.load_s) + self._victim(now, w)[1], number) for number, w in enumerate(sampled)
        ]
        if not priced:
            return
        worker = sampled[min(priced)[1]]
        cost = self._cost(now, worker, label.load_s)
        if benefit >= cost:
            self._load(now, name, worker)
        else:
            self._look_again(now, name, cost - benefit)

    def _look_again(self, now: float, name: str, missing: float) -> None:
        self._looks[name] = now + max(missing / len(self._label(name).queue), 1e-3)
        self._simulation.wake(self._number, self._looks[name])

    def _benefit(self, now: float, name: str) -> float:
        label = self._label(name)
        count = len(label.queue)
        waited = count * now - label.arrivals
        if not label.holders:
            return waited + count * label.load_s
        ends = min(max(self._ends[w] - now, 0.0) for w in label.holders)
        delay = ends + self._drain_s(label, count) / len(label.holders)
        often = self._rate(now, label) * label.run_s > 0.15 * len(label.holders)
        if delay <= (1.0 if often else 2.0) * label.load_s:
            return -math.inf
        return count * (delay - label.load_s) + waited

    def _drain_s(self, label: _Label, count: int) -> float:
        if self._most == 1:
            return count * label.run_s
        return math.ceil(count / self._most) * label.passes.fixed_s + count * label.passes.unit_s

    def _cost(self, now: float, worker: SimWorker, load_s: float) -> float:
        cost = 0.0
        for name in self._held[worker]:
            label = self._label(name)
            cost += self._rate(now, label) / len(label.holders) ** 2 * load_s * load_s / 2 + len(label.queue) * load_s
        return cost

    def _rate(self, now: float, label: _Label) -> float:
        return label.rate * math.exp((label.seen - now) / TAU_S)

    def _victim(self, now: float, worker: SimWorker) -> tuple[str, float]:
        """Choose the label to evict, and its regret; an empty label leaves the choice to the worker."""
        held = self._held[worker]
        if len(held) < worker.cache.capacity:
            return "", 0.0
        least, victim, regret = math.inf, "", 10.0
        for name in held:
            label = self._label(name)
            others = len(label.holders) - 1
            if label.queue and not others:
                continue
            rate = self._rate(now, label)
            value = rate * label.load_s * (0.05 if others and rate * label.run_s < 0.5 * others else 1.0)
            if value < least:
                least, victim, regret = value, name, min(label.load_s, 10.0 * value)
        return victim, regret

    def _load(self, now: float, name: str, worker: SimWorker) -> None:
        if name in self._held[worker]:
            return
        victim, _ = self._victim(now, worker)
        held = self._held[worker]
        if not victim and len(held) >= worker.cache.capacity:
            return
        if victim:
            held.remove(victim)
            self._label(victim).holders.pop(worker, None)
        held.append(name)
        self._label(name).holders[worker] = None
        self._start(now, name, worker, evict=victim, load_s=self._label(name).load_s)

    def _start(self, now: float, name: str, worker: SimWorker, *, evict: str = "", load_s: float = 0.0) -> None:
        label = self._label(name)
        self._ends[worker] = now + load_s + label.run_s
        self._send(label, worker, evict)
        while self._most > 1 and label.queue and worker.gathers(name):
            self._send(label, worker, "")

    def _send(self, label: _Label, worker: SimWorker, evict: str) -> None:
        arrived, index = label.queue.popleft()
        label.arrivals = label.arrivals - arrived if label.queue else 0.0
        self._running[worker] += 1
        self._simulation.send(self._number, index, index, worker, evict)
