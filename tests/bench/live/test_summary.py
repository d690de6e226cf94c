from typing import Any

import pytest

from bench.live.bounds import Bounds
from bench.live.producers import Sent
from bench.live.report import gain, published_lines
from bench.live.summary import summary
from bench.live.worker_log import worker_log
from bus.messages import LogRecord

BOUND = Bounds(online=2.0, expected=2.0, clairvoyant=1)


def record(event: str, **fields: Any) -> LogRecord:
    return LogRecord(time="", level="INFO", component="worker", id="w1", event=event, fields=fields)


def done(task_id: str, *, load_ms: float, run_ms: float) -> LogRecord:
    times: dict[str, Any] = {"queue_ms": 1.0, "load_ms": load_ms, "run_ms": run_ms}
    fields = {"task_id": task_id, "task_type": "sample_task", "label": "a", "label_hit": not load_ms, "attempt": 1}
    return record("Task completed in 0.1 seconds", **fields, **times)


def sent(**changes: Any) -> Sent:
    given: dict[str, Any] = {"label": 0, "sent_s": 0.0, "completion_ms": 100.0, "worker": "w1", "route": "hit"}
    return Sent(**{**given, **changes})


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
        [sent(task_id="t1", load_ms=400.0), sent(task_id="t2"), sent(code="no_worker", worker="")],
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
        summary("random", [sent(task_id="t1")], slow, synchronous=True, bound=BOUND),
        summary("affinity", [sent(task_id="t1")], fast, synchronous=True, bound=BOUND),
    ]
    assert gain(results) == pytest.approx(5.0)
    assert gain(results[:1]) is None
