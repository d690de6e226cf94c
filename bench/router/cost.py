"""Timed decisions of the router, microseconds an event.

The pool is a busy one: 8 labels a worker, ten labels for each worker, Zipf popularity, all workers at work, and a queue
of waiting tasks. Each step ends one task and submits another, as in a pool that keeps up. `measure_hits` times tasks
that wait for nothing: one worker with free slots, which holds the only label.

The workers take passes, as they do by default, whose run times are a + b·n. With a = 0 no task joins a pass; where a is
larger than b, those whose label is running do.
"""

import gc
import itertools
import random
import time
from collections import Counter, deque
from heapq import heappop, heappush
from typing import Final

import msgspec

from bench.popularity import zipf
from bench.router.report import Cost
from dispatcher.router import Assign, Command, Outcome, Router, RouterPolicy, TaskSpec, WorkerView

CAPACITY: Final = 8
RUN_S: Final = 0.03
"""Mean time of a run; times are drawn from an exponential distribution."""
LOAD_S: Final = 1.5
PASS_TASKS: Final = 64
"""Default of the worker's `--pass-tasks`."""


class _Pool:
    """Simulated workers around the production router."""

    def __init__(
        self, workers: int, labels: int, waiting: int, seed: int, *, pass_tasks: int, fixed_share: float
    ) -> None:
        self.pass_tasks = pass_tasks
        self.fixed_share = fixed_share
        self.sent: Counter[tuple[str, str]] = Counter()
        self.rng = random.Random(seed)
        self.names = [f"label-{number}" for number in range(labels)]
        self.draw = itertools.cycle(self.rng.choices(self.names, zipf(labels, 0.9), k=200_000))
        self.router: Router[None] = Router(RouterPolicy(), rng=random.Random(seed))
        self.now = 0.0
        self.ends: list[tuple[float, int, Assign[None]]] = []
        self.held: dict[str, dict[str, None]] = {}
        self.number = 0
        self.revision = 0
        self.workers = workers
        self.submits: list[float] = []
        self.finishes: list[float] = []
        self.waits: list[int] = []
        for number in range(workers):
            held = [self.names[(number + step * workers) % labels] for step in range(CAPACITY)]
            self.held[f"w{number}"] = dict.fromkeys(held)
            self.obey(self.router.worker_seen(0.0, self.view(f"w{number}")))
        while self.router.waiting < waiting:
            self.submit()

    def view(self, worker_id: str) -> WorkerView:
        self.revision += 1
        labels = tuple(self.held[worker_id])
        return WorkerView(
            worker_id=worker_id,
            labels=labels,
            capacity=CAPACITY,
            pass_tasks=self.pass_tasks,
            places=0,
            pass_types=("task",) if self.revision <= self.workers else None,
            epoch_ms=1,
            revision=self.revision,
        )

    def submit(self) -> None:
        self.number += 1
        spec = TaskSpec(task_id=str(self.number), task_type="task", label=next(self.draw), item=None)
        began = time.perf_counter_ns()
        commands = self.router.submit(self.now, spec)
        self.submits.append((time.perf_counter_ns() - began) / 1e3)
        self.obey(commands)

    def finish(self) -> None:
        self.now, assignment_id, done = heappop(self.ends)
        worker_id = done.worker_id
        assert worker_id is not None
        held = self.held[worker_id]
        label = done.task.label
        hit = label in held
        if not hit:
            if len(held) >= CAPACITY:
                del held[done.evict_label if done.evict_label in held else next(iter(held))]
            held[label] = None
        size = min(self.sent[worker_id, label], self.pass_tasks)
        self.sent[worker_id, label] -= 1
        outcome = Outcome(
            ok=True,
            label_hit=hit,
            load_ms=0.0 if hit else LOAD_S * 1e3,
            run_ms=RUN_S * 1e3 * (self.fixed_share + (1.0 - self.fixed_share) * size),
            pass_size=size,
            view=self.view(worker_id),
        )
        began = time.perf_counter_ns()
        finished = self.router.finished(self.now, assignment_id, outcome)
        self.finishes.append((time.perf_counter_ns() - began) / 1e3)
        self.obey(finished.commands)

    def obey(self, commands: list[Command[None]]) -> None:
        for command in commands:
            if isinstance(command, Assign):
                assert command.worker_id is not None
                self.sent[command.worker_id, command.task.label] += 1
                takes = self.rng.expovariate(1 / RUN_S)
                if command.task.label not in self.held[command.worker_id]:
                    takes += LOAD_S
                heappush(self.ends, (self.now + takes, command.assignment_id, command))

    def step(self) -> None:
        """End one task and submit another, which keeps the queue at its length."""
        self.finish()
        self.submit()
        wake = self.router.next_wake()
        if wake is not None and wake <= self.now:
            self.obey(self.router.tick(self.now))
        self.waits.append(self.router.waiting)


def measure(
    workers: int, *, events: int, seed: int = 1, pass_tasks: int = PASS_TASKS, fixed_share: float = 0.0
) -> list[Cost]:
    """Time `events` submits and as many results in a pool of `workers` workers.

    `fixed_share` is a/(a + b) of the run times of passes, of at most `pass_tasks` tasks.
    """
    labels = workers * 10
    pool = _Pool(workers, labels, waiting=workers * 5, seed=seed, pass_tasks=pass_tasks, fixed_share=fixed_share)
    for _ in range(min(events, 2 * workers)):
        pool.step()
    for times in (pool.submits, pool.finishes, pool.waits):
        times.clear()
    gc.collect()
    for _ in range(events):
        pool.step()
    waiting = sum(pool.waits) // len(pool.waits)
    return [
        _cost(workers, labels, waiting, event, times)
        for event, times in (("submit", pool.submits), ("finished", pool.finishes))
    ]


def measure_hits(*, events: int, in_flight: int = 32, pass_tasks: int = PASS_TASKS) -> list[Cost]:
    """Time tasks that hit at once, and their results, on one worker with 256 slots; times include `next_wake`."""
    router: Router[None] = Router(RouterPolicy(), rng=random.Random(1))
    view = WorkerView(
        worker_id="w", labels=("a",), slots=256, epoch_ms=1, pass_tasks=pass_tasks, places=0, pass_types=("task",)
    )
    router.worker_seen(0.0, view)
    assigned: deque[Command[None]] = deque()
    submits: list[float] = []
    finishes: list[float] = []
    gc.collect()
    for number in range(events + in_flight):
        now = number * 1e-3
        spec = TaskSpec(task_id=str(number), task_type="task", label="a", deadline=now + 60.0, item=None)
        began = time.perf_counter_ns()
        assigned += router.submit(now, spec)
        router.next_wake()
        submits.append((time.perf_counter_ns() - began) / 1e3)
        if len(assigned) <= in_flight:
            continue
        done = assigned.popleft()
        assert isinstance(done, Assign)
        running = len(assigned)
        answered_view = msgspec.structs.replace(view, running=running, places=1, pass_types=None, revision=number)
        outcome = Outcome(ok=True, label_hit=True, load_ms=0.0, run_ms=0.1, view=answered_view, worker_id="w")
        began = time.perf_counter_ns()
        router.finished(now, done.assignment_id, outcome)
        router.next_wake()
        finishes.append((time.perf_counter_ns() - began) / 1e3)
    return [_cost(1, 1, 0, "submit", submits[in_flight:]), _cost(1, 1, 0, "finished", finishes)]


def _cost(workers: int, labels: int, waiting: int, event: str, times: list[float]) -> Cost:
    return Cost(
        workers=workers,
        labels=labels,
        waiting=waiting,
        event=event,
        events=len(times),
        median_us=_quantile(times, 0.5),
        p99_us=_quantile(times, 0.99),
        mean_us=sum(times) / len(times),
    )


def _quantile(values: list[float], q: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * q), len(ordered) - 1)]
