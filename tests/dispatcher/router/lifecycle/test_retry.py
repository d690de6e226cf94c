"""A task that comes back: when it runs again, and where."""

import random

import pytest

from dispatcher.router import Assign, Command, Outcome, Retries, Router, RouterPolicy, TaskSpec, WorkerView
from dispatcher.router.lifecycle.retry import GiveUp, PassOn, RunAgain, after_bounce, after_failure, after_loss
from dispatcher.router.state.labels import Label, Pending
from dispatcher.router.state.workers import PoolTask, Worker

POLICY = Retries(max_attempts=3, max_worker_losses=2, max_bounces=5, max_bounced_s=10.0)


def pending(**fields) -> PoolTask:
    spec = TaskSpec(task_id="1", task_type="t", label="a", item=None, retry=fields.pop("retry", True))
    label: Label[Worker] = Label("a")
    task = Pending(spec, label, 0.0)
    for name, value in fields.items():
        setattr(task, name, value)
    return task


FAILED = Outcome(ok=False, label_hit=True, load_ms=0, run_ms=0, retryable=True)


@pytest.mark.parametrize(
    ("fields", "outcome", "decision"),
    [
        ({}, FAILED, RunAgain(2)),
        ({"attempt": 2}, FAILED, RunAgain(3)),
        ({"attempt": 3}, FAILED, PassOn()),
        ({"retry": False}, FAILED, PassOn()),
        ({"cancelled": True}, FAILED, PassOn()),
        ({}, Outcome(ok=False, label_hit=True, load_ms=0, run_ms=0), PassOn()),
    ],
)
def test_a_failure_is_tried_again_if_another_worker_may_not_have_it(fields, outcome, decision):
    assert after_failure(pending(**fields), outcome, POLICY) == decision


@pytest.mark.parametrize(
    ("fields", "kind"),
    [({}, RunAgain), ({"lost": ("w0",)}, GiveUp), ({"retry": False}, GiveUp)],
)
def test_a_lost_task_runs_again_until_it_has_lost_too_many_workers(fields, kind):
    decision = after_loss(pending(**fields), "w1", POLICY)
    assert isinstance(decision, kind)
    if isinstance(decision, GiveUp):
        assert "w1" in decision.refusal.message


@pytest.mark.parametrize(("now", "bounces", "kind"), [(20.0, 4, RunAgain), (5.0, 6, RunAgain), (20.0, 5, GiveUp)])
def test_a_bounced_task_is_rejected_only_after_many_bounces_and_a_long_time(now, bounces, kind):
    assert isinstance(after_bounce(now, pending(bounces=bounces), POLICY), kind)


# ── where a lost task goes ──


def router(*views):
    made: Router[None] = Router(RouterPolicy(), rng=random.Random(1))
    for view in views:
        assert made.worker_seen(0.0, view) == []
    return made


def worker(worker_id, *labels, **fields):
    return WorkerView(worker_id=worker_id, labels=labels, **{"capacity": 2, "task_types": ("t",), **fields})


def submit(made, now=0.0, task_id="1", **fields):
    spec = TaskSpec(task_id=task_id, label="a", item=None, **{"task_type": "t", **fields})
    return sent(made.submit(now, spec))


def sent(commands):
    return [(c.task.task_id, c.worker_id) for c in commands if isinstance(c, Assign)]


def keep_busy(made):
    spec = TaskSpec(task_id="busy", task_type="t", label="b", item=None)
    assert sent(made.submit(0.0, spec)) == [("busy", "w2")]


def test_a_task_lost_with_a_worker_that_lives_goes_to_another_one_that_is_free():
    made = router(worker("w1", "a"), worker("w2"))
    assert submit(made) == [("1", "w1")]
    assert sent(made.lost(1.0, 1, "w1")) == [("1", "w2")]


def test_a_lost_task_waits_for_another_worker_that_is_busy_while_the_first_one_is_free():
    made = router(worker("w1", "a"), worker("w2", "b"))
    assert submit(made) == [("1", "w1")]
    keep_busy(made)
    assert sent(made.lost(1.0, 1, "w1")) == []
    assert made.waiting == 1
    done = Outcome(ok=True, label_hit=True, load_ms=0, run_ms=10)
    assert sent(made.finished(1.1, 2, done).commands) == [("1", "w2")]


def test_it_does_not_wait_for_another_worker_for_ever():
    made = router(worker("w1", "a"), worker("w2", "b"))
    submit(made)
    keep_busy(made)
    made.lost(1.0, 1, "w1")
    now = 1.0
    commands: list[Command[None]] = []
    while not commands:
        wake = made.next_wake()
        assert wake is not None
        now = wake
        commands = made.tick(now)
    assert sent(commands) == [("1", "w1")]
    assert now == pytest.approx(1.0 + Retries().other_worker_s)


@pytest.mark.parametrize("leave", ["gone", "draining"])
def test_it_goes_back_at_once_when_the_last_other_worker_leaves(leave):
    made = router(worker("w1", "a"), worker("w2", "b"))
    submit(made)
    keep_busy(made)
    assert sent(made.lost(1.0, 1, "w1")) == []
    if leave == "gone":
        commands = made.worker_gone(1.1, "w2")
    else:
        commands = made.worker_seen(1.1, worker("w2", "b", running=1, draining=True, revision=1))
    assert sent(commands) == [("1", "w1")]


def test_a_waiting_lost_task_can_be_cancelled_and_its_deadline_passes():
    made = router(worker("w1", "a"), worker("w2", "b"))
    submit(made)
    keep_busy(made)
    made.lost(1.0, 1, "w1")
    assert made.cancel(1.1, "1") == []
    assert made.waiting == 0
    submit(made, 1.2, "2", deadline=2.0)
    made.lost(1.3, 3, "w1")
    commands: list[Command[None]] = []
    while not commands:
        wake = made.next_wake()
        assert wake is not None
        assert wake <= 2.0
        commands = made.tick(wake)
    assert [command.task.task_id for command in commands] == ["2"]
    assert sent(commands) == []


def test_a_task_lost_by_an_unknown_worker_avoids_nobody():
    made = router()
    submit(made)
    made.worker_seen(0.5, worker("w1", "a"))
    assert sent(made.lost(1.0, 1, "")) == [("1", "w1")]
