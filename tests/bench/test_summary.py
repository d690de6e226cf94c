from typing import Any

import pytest

from bench.bound import Bounds
from bench.live_report import gain, published_lines
from bench.producers import Asked
from bench.summary import spread, summary
from bench.worker_log import worker_log
from bus.messages import LogRecord

BOUND = Bounds(online=2.0, expected=2.0, clairvoyant=1)


def record(event: str, **fields: Any) -> LogRecord:
    return LogRecord(time="", level="INFO", component="worker", id="w1", event=event, fields=fields)


def done(task_id: str, *, load_ms: float, run_ms: float) -> LogRecord:
    times: dict[str, Any] = {"queue_ms": 1.0, "load_ms": load_ms, "run_ms": run_ms}
    fields = {"task_id": task_id, "task_type": "sample_task", "label": "a", "label_hit": not load_ms, "attempt": 1}
    return record("Task completed in 0.1 seconds", **fields, **times)


def asked(**changes: Any) -> Asked:
    given: dict[str, Any] = {"label": 0, "sent_s": 0.0, "completion_ms": 100.0, "worker": "w1", "route": "hit"}
    return Asked(**{**given, **changes})


LOG = worker_log(
    [
        record("started"),
        record("LABEL MISS: a", task_id="t1", label="a"),
        record("LABEL JOIN: a", task_id="t3", label="a"),
        done("t1", load_ms=400.0, run_ms=100.0),
        done("t2", load_ms=0.0, run_ms=50.0),
    ]
)


def test_the_log_of_workers_tells_misses_and_tasks():
    assert (LOG.missed, LOG.joined) == (["t1"], ["t3"])
    assert [(task.task_id, task.worker, task.hit) for task in LOG.tasks] == [("t1", "w1", False), ("t2", "w1", True)]


def test_the_published_words_and_fields_are_kept():
    found = summary(
        "affinity",
        [asked(task_id="t1", load_ms=400.0), asked(task_id="t2"), asked(code="no_worker", worker="")],
        LOG,
        synchronous=True,
        bound=BOUND,
    )
    assert published_lines(found) == [
        "Worker Log Summary:",
        "  Total Label Misses: 1",
        "  Tasks Completed: 2",
        "  Average Task Runtime: 0.2750 seconds",
        "Producer Log Summary:",
        "  Total Requests: 3",
        "  Total Failed Requests: 1",
        "  Total Synchronous Requests: 3",
        "  Total Dispatched Jobs: 2",
    ]
    assert found.over_bound == pytest.approx(-0.5)
    assert (found.load.count, found.load.p50, found.failures) == (1, 400.0, {"no_worker": 1})


def test_the_gain_is_random_over_affinity():
    slow = worker_log([done("t1", load_ms=400.0, run_ms=100.0)])
    fast = worker_log([done("t1", load_ms=0.0, run_ms=100.0)])
    results = [
        summary("random", [asked(task_id="t1")], slow, synchronous=True, bound=BOUND),
        summary("affinity", [asked(task_id="t1")], fast, synchronous=True, bound=BOUND),
    ]
    assert gain(results) == pytest.approx(5.0)
    assert gain(results[:1]) is None


def test_percentiles_are_of_the_values():
    found = spread([float(number) for number in range(100, 0, -1)])
    assert (found.count, found.mean, found.p50, found.p95, found.p99) == (100, 50.5, 51.0, 96.0, 100.0)
    assert spread([]).count == 0
