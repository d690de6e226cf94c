"""A worker that refuses everything though it says that it is free is taken for broken."""

import itertools
import random

import pytest

from dispatcher.router import Assign, Health, Outcome, Router, RouterPolicy, TaskSpec, WorkerView

HEALTH = Health()


def view(worker_id, *labels, **fields):
    return WorkerView(worker_id=worker_id, labels=labels, **{"capacity": 2, "epoch_ms": 1, **fields})


class Pool:
    """A router with one worker that answers BUSY to everything, and perhaps a good one."""

    def __init__(self, *good, running=0):
        self.router: Router[None] = Router(RouterPolicy(), rng=random.Random(1))
        self.running = running
        self.now = 0.0
        self.revision = 0
        self.refused: list[float] = []
        self.good: list[str] = []
        for name in ("bad", *good):
            self.obey(self.router.worker_seen(0.0, view(name, *(("a",) if name == "bad" else ()))))

    def bad_view(self):
        self.revision += 1
        return view("bad", "a", running=self.running, revision=self.revision)

    def obey(self, commands):
        for command in commands:
            assert isinstance(command, Assign)
            if command.worker_id == "bad":
                self.refused.append(self.now)
                answer = self.bad_view()
                self.obey(self.router.bounced(self.now, command.assignment_id, no_responders=False, view=answer))
            else:
                self.good.append(command.task.task_id)

    def submit(self, task_id="1"):
        self.obey(self.router.submit(self.now, TaskSpec(task_id=task_id, task_type="t", label="a", item=None)))

    def run(self, until):
        while (wake := self.router.next_wake()) is not None and wake <= until:
            self.now = max(self.now, wake)
            self.obey(self.router.tick(self.now))
        self.now = until


def test_its_label_is_served_elsewhere_and_it_is_named():
    pool = Pool("good")
    pool.submit()
    pool.run(until=3 * HEALTH.broken_after_s)
    assert pool.good == ["1"]
    assert pool.router.broken_workers() == ["bad"]
    assert pool.router.holders("a") == ["good"]


def test_alone_it_is_tried_ever_more_seldom():
    pool = Pool()
    pool.submit()
    pool.run(until=1000.0)
    assert pool.router.broken_workers() == ["bad"]
    last = pool.refused[-5:]
    assert [later - earlier for earlier, later in itertools.pairwise(last)] == pytest.approx(
        [HEALTH.broken_pause_max_s] * 4, rel=0.05
    )


def test_a_worker_that_says_that_it_is_full_is_only_busy():
    pool = Pool("good", running=1)
    pool.submit()
    pool.run(until=10 * HEALTH.broken_after_s)
    assert pool.router.broken_workers() == []


def test_it_is_whole_again_once_it_answers_a_task():
    pool = Pool()
    pool.submit()
    pool.run(until=3.0)
    assert pool.router.broken_workers() == ["bad"]
    good: list[int] = []
    pool.obey = lambda commands: good.extend(command.assignment_id for command in commands)  # type: ignore[method-assign]
    pool.run(until=100.0)
    [assignment_id] = good
    done = Outcome(ok=True, label_hit=True, load_ms=0, run_ms=5, view=pool.bad_view())
    assert pool.router.finished(100.0, assignment_id, done).answer
    assert pool.router.broken_workers() == []


def test_a_new_process_under_its_name_is_trusted_at_once():
    pool = Pool()
    pool.submit()
    pool.run(until=3.0)
    assert pool.router.broken_workers() == ["bad"]
    tried = len(pool.refused)
    pool.obey(pool.router.worker_seen(3.0, view("bad", "a", epoch_ms=2)))
    assert pool.router.broken_workers() == []
    pool.run(until=3.1)
    assert len(pool.refused) > tried
