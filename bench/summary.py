"""What a run of the live benchmark comes to. Pure code."""

import statistics
from collections import Counter
from collections.abc import Sequence

import msgspec

from bench.bound import Bounds
from bench.path_report import percentile
from bench.producers import Asked
from bench.worker_log import WorkerLog


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles, milliseconds; `count` values."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One policy's run.

    `total_…`, `tasks_completed` and `average_task_runtime_s` are the published summary's; the runtime is load and
    run time in the worker, as its log has it. A synchronous request is one whose producer waits for the answer
    before it goes on (all of a closed loop), a dispatched job a task that came to a worker.
    """

    policy: str
    total_label_misses: int
    joined_loads: int
    """Tasks that came while their label was being loaded for another one."""
    tasks_completed: int
    average_task_runtime_s: float
    total_requests: int
    total_failed_requests: int
    total_synchronous_requests: int
    total_dispatched_jobs: int
    seconds: float
    bounds: Bounds
    completion: Spread
    queue: Spread
    load: Spread
    """Of the tasks that loaded or joined a load."""
    run: Spread
    tasks_per_worker: dict[str, int]
    routes: dict[str, int]
    failures: dict[str, int]

    @property
    def over_bound(self) -> float:
        """Misses above the bound for these arrivals, as a share of it."""
        return self.total_label_misses / self.bounds.online - 1 if self.bounds.online else 0.0


def summary(policy: str, asked: Sequence[Asked], log: WorkerLog, *, synchronous: bool, bound: Bounds) -> Summary:
    """The summary of what producers saw and workers logged."""
    good = [one for one in asked if not one.code]
    runtimes_ms = [task.load_ms + task.run_ms for task in log.tasks]
    return Summary(
        policy=policy,
        total_label_misses=len(log.missed),
        joined_loads=len(log.joined),
        tasks_completed=len(log.tasks),
        average_task_runtime_s=statistics.fmean(runtimes_ms) / 1000 if runtimes_ms else 0.0,
        total_requests=len(asked),
        total_failed_requests=len(asked) - len(good),
        total_synchronous_requests=len(asked) if synchronous else 0,
        total_dispatched_jobs=sum(1 for one in asked if one.worker),
        seconds=max((one.sent_s + one.completion_ms / 1000 for one in asked), default=0.0),
        bounds=bound,
        completion=spread([one.completion_ms for one in good]),
        queue=spread([one.queue_ms for one in good]),
        load=spread([one.load_ms for one in good if one.load_ms]),
        run=spread([one.run_ms for one in good]),
        tasks_per_worker=dict(sorted(Counter(task.worker for task in log.tasks).items())),
        routes=dict(Counter(one.route for one in good).most_common()),
        failures=dict(Counter(one.code for one in asked if one.code).most_common()),
    )


def spread(values: Sequence[float]) -> Spread:
    """Mean and percentiles; zeros of nothing."""
    if not values:
        return Spread(count=0, mean=0.0, p50=0.0, p95=0.0, p99=0.0)
    ordered = sorted(values)
    return Spread(
        count=len(ordered),
        mean=statistics.fmean(ordered),
        p50=percentile(ordered, 50),
        p95=percentile(ordered, 95),
        p99=percentile(ordered, 99),
    )
