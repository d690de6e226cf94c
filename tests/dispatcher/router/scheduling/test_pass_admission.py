"""Tasks join the pass that gathers on a busy worker, as far as that pays and keeps nothing older waiting."""

import random

import msgspec
import pytest

from dispatcher.router import Assign, Command, Outcome, Reject, Route, Router, RouterPolicy, TaskSpec, WorkerView

VIEW = WorkerView(
    worker_id="w1",
    labels=("a", "b"),
    capacity=2,
    pass_tasks=64,
    places=0,
    task_types=("t", "own"),
    pass_types=("t",),
    kind="gpu",
    epoch_ms=1,
)


class Pool:
    """A router, and what its commands sent where."""

    def __init__(self, *views: WorkerView) -> None:
        self.router: Router[None] = Router(RouterPolicy(), rng=random.Random(1))
        self.sent: dict[str, Assign[None]] = {}
        self.rejected: list[Reject[None]] = []
        self.count = 0
        for view in views:
            self.router.worker_seen(0.0, view)

    def obey(self, commands: list[Command[None]]) -> list[str]:
        for command in commands:
            if isinstance(command, Assign):
                self.sent[command.task.task_id] = command
            else:
                self.rejected.append(command)
        return [command.task.task_id for command in commands]

    def submit(self, now: float, label: str, count: int = 1, task_type: str = "t") -> list[str]:
        sent = []
        for _ in range(count):
            self.count += 1
            task = TaskSpec(task_id=f"{label}{self.count}", task_type=task_type, label=label, item=None)
            sent += self.obey(self.router.submit(now, task))
        return sent

    def answer(self, now: float, task_id: str, *, size: int = 1, run_ms: float = 8.2, hit: bool = True) -> list[str]:
        outcome = Outcome(ok=True, label_hit=hit, load_ms=0.0 if hit else 500.0, run_ms=run_ms, pass_size=size)
        return self.obey(self.router.finished(now, self.sent[task_id].assignment_id, outcome).commands)

    def teach(self, label: str, fixed_ms: float, unit_ms: float) -> None:
        """Run passes of several sizes, so that the router knows their law."""
        for size in (1, 4, 1, 4):
            under_way = self.submit(0.0, label, size)
            for task_id in under_way:
                under_way += self.answer(0.0, task_id, size=size, run_ms=fixed_ms + unit_ms * size)

    def where(self, task_id: str) -> tuple[str | None, Route]:
        return self.sent[task_id].worker_id, self.sent[task_id].route


def test_tasks_of_the_label_that_runs_join_its_next_pass() -> None:
    pool = Pool(VIEW)
    pool.teach("a", 8.0, 0.2)
    first, *others = pool.submit(1.0, "a", 100)
    assert len(others) == 99
    assert pool.where(first) == ("w1", Route.HIT)
    assert all(pool.where(task_id) == ("w1", Route.WAIT) for task_id in others)


def test_a_place_has_the_pass_that_runs_and_the_next_one_and_no_more() -> None:
    pool = Pool(VIEW)
    pool.teach("a", 8.0, 0.2)
    assert len(pool.submit(1.0, "a", 200)) == 128
    assert pool.router.waiting == 72


def test_few_join_while_the_law_is_unknown() -> None:
    pool = Pool(VIEW)
    assert len(pool.submit(1.0, "a", 20)) == 8


def test_none_join_where_a_pass_gains_nothing() -> None:
    pool = Pool(VIEW)
    pool.teach("a", 0.1, 20.0)
    assert len(pool.submit(1.0, "a", 20)) == 1


def test_none_join_on_a_worker_without_passes() -> None:
    pool = Pool(msgspec.structs.replace(VIEW, pass_tasks=1, running=0))
    assert len(pool.submit(1.0, "a", 20)) == 1


def test_a_type_that_shares_no_runs_takes_a_place_for_each_task() -> None:
    pool = Pool(msgspec.structs.replace(VIEW, slots=3))
    assert len(pool.submit(1.0, "a", 5, "own")) == 3


def test_the_label_that_waits_longest_gets_the_place_and_the_other_waits_for_it() -> None:
    pool = Pool(VIEW)
    pool.teach("a", 8.0, 0.2)
    running = pool.submit(1.0, "a", 3)
    assert pool.submit(1.001, "b") == []
    assert pool.submit(1.002, "a") == []
    sent = [pool.answer(1.008, task_id) for task_id in running]
    assert sent[:2] == [[], []]
    assert [task_id[0] for task_id in sent[2]] == ["b"]


def test_a_task_that_was_tried_before_takes_a_place_of_its_own() -> None:
    pool = Pool(VIEW)
    pool.teach("a", 8.0, 0.2)
    first, second = pool.submit(1.0, "a", 2)
    failed = Outcome(ok=False, label_hit=True, load_ms=0.0, run_ms=0.0, retryable=True)
    pool.router.finished(1.01, pool.sent[second].assignment_id, failed)
    pool.obey(pool.router.tick(2.0))
    assert pool.sent[second].attempt == 1  # it waits: the first one has the place
    assert pool.router.waiting == 1
    assert second in pool.answer(2.1, first)
    assert pool.sent[second].attempt == 2


def test_a_load_brings_the_tasks_that_share_its_first_run() -> None:
    pool = Pool(msgspec.structs.replace(VIEW, labels=("a",), capacity=1))
    pool.teach("a", 8.0, 0.2)
    (running,) = pool.submit(1.0, "a")
    assert pool.submit(1.001, "c", 30) == []
    assert pool.router.waiting == 30
    sent = pool.answer(1.008, running) or pool.obey(pool.router.tick(pool.router.next_wake() or 0.0))
    assert pool.where(sent[0]) == ("w1", Route.LOAD)
    assert {pool.where(task_id) for task_id in sent[1:]} == {("w1", Route.WAIT)}
    assert len(sent) == 30


def test_an_overdue_load_ends_the_passes_that_follow_each_other() -> None:
    pool = Pool(VIEW)
    pool.teach("a", 8.0, 0.2)
    running = pool.submit(1.0, "a")
    assert pool.submit(1.001, "c") == []
    now = 1.001
    loaded_at = None
    for _ in range(20_000):
        now += 0.008
        for task_id in running:
            sent = pool.answer(now, task_id)
            running = [*running[1:], *sent]
            if any(task_id.startswith("c") for task_id in sent):
                loaded_at = now
        sent = pool.submit(now, "a")
        running += sent
        if loaded_at is not None:
            break
    assert loaded_at is not None
    assert loaded_at < 30.0


def test_the_worker_with_the_fewest_tasks_of_the_label_gets_the_next() -> None:
    pool = Pool(VIEW, msgspec.structs.replace(VIEW, worker_id="w2"))
    pool.teach("a", 8.0, 0.2)
    sent = pool.submit(1.0, "a", 20)
    shares = [sum(pool.sent[task_id].worker_id == worker for task_id in sent) for worker in ("w1", "w2")]
    assert shares == [10, 10]


@pytest.mark.parametrize("labels", [("a",), ("a", "b")])
def test_places_of_others_are_what_the_worker_says_beyond_ours(labels: tuple[str, ...]) -> None:
    pool = Pool(msgspec.structs.replace(VIEW, labels=labels, slots=2))
    pool.teach("a", 8.0, 0.2)
    pool.submit(1.0, "a", 10)
    pool.router.worker_seen(1.001, msgspec.structs.replace(VIEW, labels=labels, slots=2, running=30, places=2))
    (use,) = pool.router.uses()
    assert use.running == 2
    assert len(pool.submit(1.002, "a", 5)) == 5


def test_a_pass_that_fails_pauses_its_worker_once_and_not_for_each_of_its_tasks() -> None:
    pool = Pool(VIEW)
    pool.teach("a", 8.0, 0.2)
    failed = Outcome(ok=False, label_hit=True, load_ms=0.0, run_ms=0.0, retryable=True)
    for task_id in pool.submit(1.0, "a", 64):
        pool.obey(pool.router.finished(1.01, pool.sent[task_id].assignment_id, failed).commands)
    assert pool.router.waiting == 64
    wake = pool.router.next_wake()
    assert wake is not None
    assert wake == pytest.approx(1.01 + RouterPolicy().health.pause_s)
    pool.obey(pool.router.tick(wake))
    assert pool.router.waiting == 63


def test_a_label_that_gets_a_place_brings_all_that_share_its_pass() -> None:
    pool = Pool(msgspec.structs.replace(VIEW, labels=("a", "b", "c"), capacity=3))
    pool.teach("a", 8.0, 0.2)
    pool.teach("b", 8.0, 0.2)
    (running,) = pool.submit(1.0, "a", 1)
    assert pool.submit(1.001, "b", 1) + pool.submit(1.002, "c", 1) + pool.submit(1.003, "b", 9) == []
    assert [task_id[0] for task_id in pool.answer(1.008, running)] == ["b"] * 10


def test_tasks_join_the_pass_that_has_yet_to_begin_though_others_are_older() -> None:
    view = msgspec.structs.replace(VIEW, labels=("a", "b", "c"), capacity=3, window=1)
    pool = Pool(view)
    for _ in range(4):
        pool.teach("a", 8.0, 0.2)  # until it is known that runs are short: then a hit is sent ahead
    pool.teach("b", 8.0, 0.2)
    (running,) = pool.submit(1.0, "a", 1)
    assert pool.submit(1.001, "b", 1) == []
    seen = msgspec.structs.replace(view, running=1, places=1, revision=1)
    assert len(pool.obey(pool.router.worker_seen(1.002, seen))) == 1  # b takes the place beyond the slot
    assert pool.submit(1.003, "c", 1) == []
    assert pool.submit(1.004, "a", 1) == []  # would have the slot for another pass
    assert len(pool.submit(1.005, "b", 1)) == 1  # begins after the end of a
    pool.answer(1.008, running)
    assert pool.submit(1.009, "b", 1) == []


def test_none_join_on_a_worker_that_was_too_busy_for_one_before_it_has_answered() -> None:
    pool = Pool(VIEW)
    pool.teach("a", 8.0, 0.2)
    running, refused = pool.submit(1.0, "a", 2)
    assert pool.obey(pool.router.bounced(1.001, pool.sent[refused].assignment_id, no_responders=False)) == []
    assert pool.submit(1.002, "a", 3) == []
    pool.answer(1.008, running)
    sent = [task_id for now in (2.0, 2.1) for task_id in pool.obey(pool.router.tick(now))]
    assert len(sent) == 4


def test_a_load_beside_passes_goes_before_a_hit_that_would_be_sent_ahead() -> None:
    pool = Pool(msgspec.structs.replace(VIEW, capacity=4, window=1))
    pool.teach("a", 8.0, 0.2)
    pool.submit(1.0, "a", 2)
    (loading,) = pool.submit(1.001, "d")
    assert pool.where(loading) == ("w1", Route.LOAD)
    assert pool.submit(1.002, "b", task_type="own") == []
    assert pool.submit(1.003, "c", 8) == []
    sent = pool.answer(1.5, loading, hit=False)
    assert pool.where(sent[0]) == ("w1", Route.LOAD)
    assert {task_id[0] for task_id in sent} == {"c"}


def test_a_task_that_may_not_join_by_the_workers_own_law_is_no_sign_of_other_dispatchers() -> None:
    """Else its loads would wait for them, and the worker be left to them, for a minute each time."""
    pool = Pool(VIEW)
    pool.teach("a", 8.0, 0.2)
    sent = pool.submit(1.0, "a", 3)
    last = pool.sent[sent[-1]].assignment_id
    busy = msgspec.structs.replace(VIEW, running=2, places=2, pass_types=None, task_types=None, kind=None, revision=9)
    pool.obey(pool.router.bounced(1.001, last, no_responders=False, view=busy))
    assert pool.router._state.others(1.002) == 1.0
    assert pool.router._state.others_until <= 1.001
    (use,) = pool.router.uses()
    assert use.running >= 1


def test_places_that_the_worker_counts_for_our_tasks_are_not_those_of_others() -> None:
    pool = Pool(msgspec.structs.replace(VIEW, slots=4))
    pool.teach("a", 8.0, 0.2)
    pool.submit(1.0, "a", 3)
    pool.router.worker_seen(1.001, msgspec.structs.replace(VIEW, slots=4, running=3, places=3, revision=9))
    (worker,) = pool.router._state.pool
    assert worker.foreign == 0
    pool.router.worker_seen(1.002, msgspec.structs.replace(VIEW, slots=4, running=4, places=4, revision=10))
    assert worker.foreign == 1
