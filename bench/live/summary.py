"""The figures of one run of the live benchmark. Pure code."""

import statistics
from collections import Counter
from collections.abc import Sequence

import msgspec

from bench.live.bounds import Bounds
from bench.live.producers import Sent
from bench.live.worker_log import WorkerLog
from bench.percentiles import Percentiles, percentiles


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one policy's run. Percentiles are milliseconds.

    `total_…`, `tasks_completed` and `average_task_runtime_s` are those of the published summary. The runtime is load
    plus run time in the worker, as the worker's log has it. A synchronous request is one whose producer waits for the
    answer before it goes on (all of a closed loop); a dispatched job is a task that reached a worker.
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
    completion: Percentiles
    queue: Percentiles
    load: Percentiles
    """Of the tasks that loaded or joined a load."""
    run: Percentiles
    tasks_per_worker: dict[str, int]
    routes: dict[str, int]
    failures: dict[str, int]

    @property
    def over_bound(self) -> float:
        """Misses above the online bound for these arrivals, as a share of that bound."""
        return self.total_label_misses / self.bounds.online - 1 if self.bounds.online else 0.0


def summary(policy: str, requests: Sequence[Sent], log: WorkerLog, *, synchronous: bool, bound: Bounds) -> Summary:
    """Summarise the producers' requests and the workers' log."""
    good = [request for request in requests if not request.code]
    runtimes_ms = [task.load_ms + task.run_ms for task in log.tasks]
    return Summary(
        policy=policy,
        total_label_misses=len(log.missed),
        joined_loads=len(log.joined),
        tasks_completed=len(log.tasks),
        average_task_runtime_s=statistics.fmean(runtimes_ms) / 1000 if runtimes_ms else 0.0,
        total_requests=len(requests),
        total_failed_requests=len(requests) - len(good),
        total_synchronous_requests=len(requests) if synchronous else 0,
        total_dispatched_jobs=sum(1 for request in requests if request.worker),
        seconds=max((request.sent_s + request.completion_ms / 1000 for request in requests), default=0.0),
        bounds=bound,
        completion=percentiles([request.completion_ms for request in good]),
        queue=percentiles([request.queue_ms for request in good]),
        load=percentiles([request.load_ms for request in good if request.load_ms]),
        run=percentiles([request.run_ms for request in good]),
        tasks_per_worker=dict(sorted(Counter(task.worker for task in log.tasks).items())),
        routes=dict(Counter(request.route for request in good).most_common()),
        failures=dict(Counter(request.code for request in requests if request.code).most_common()),
    )
