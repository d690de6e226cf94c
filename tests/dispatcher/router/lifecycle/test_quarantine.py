"""A task that kills each worker it meets takes no other task down with it."""

import heapq
import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.router import Assign, Outcome, Reject, Router, RouterPolicy, TaskSpec, WorkerView
from dispatcher.router.lifecycle.quarantine import Quarantine
from dispatcher.router.state.labels import Label, Pending
from dispatcher.router.state.timers import Timers

RUN_S = 0.05
KILLS_AFTER_S = 0.01
NOTICED_S = 0.3
DONE = Outcome(ok=True, label_hit=True, load_ms=0.0, run_ms=RUN_S * 1000)


class Pool:
    """Workers that take the time that tasks take, and die of some of them."""

    def __init__(self, *, workers, slots, window, labels, poisons):
        self.router: Router[None] = Router(RouterPolicy(), rng=random.Random(3))
        self.poisons = poisons
        self.now = 0.0
        self.flying: dict[int, Assign[None]] = {}
        self.dead: set[str] = set()
        self.died_of: dict[str, str] = {}
        self.ended: dict[str, str] = {}
        self._count = itertools.count()
        self._events = []
        for n in range(workers):
            view = WorkerView(worker_id=f"w{n}", labels=labels, slots=slots, window=window, capacity=len(labels))
            self.obey(self.router.worker_seen(0.0, view))

    def at(self, when, what, *arguments):
        heapq.heappush(self._events, (when, next(self._count), what, arguments))

    def submit(self, task_id, label):
        self.obey(self.router.submit(self.now, TaskSpec(task_id=task_id, task_type="t", label=label, item=None)))

    def run(self):
        for _ in range(20_000):
            wake = self.router.next_wake()
            due = self._events[0][0] if self._events else None
            if wake is not None and (due is None or wake <= due):
                self.now = max(self.now, wake)
                self.obey(self.router.tick(self.now))
            elif due is not None:
                self.now, _, what, arguments = heapq.heappop(self._events)
                what(*arguments)
            else:
                return
        raise AssertionError("it never rests")

    def obey(self, commands):
        for command in commands:
            task_id = command.task.task_id
            if isinstance(command, Reject):
                self.ended[task_id] = command.reason.value
                continue
            self.flying[command.assignment_id] = command
            if task_id in self.poisons:
                self.at(self.now + KILLS_AFTER_S, self.die, command.worker_id, task_id)
            else:
                self.at(self.now + RUN_S, self.answer, command.assignment_id)

    def answer(self, assignment_id):
        command = self.flying.pop(assignment_id, None)
        if command is not None and command.worker_id not in self.dead:
            self.ended[command.task.task_id] = "answered"
            self.obey(self.router.finished(self.now, assignment_id, DONE).commands)

    def die(self, worker_id, task_id):
        if worker_id not in self.dead:
            self.dead.add(worker_id)
            self.died_of[worker_id] = task_id
            self.at(self.now + NOTICED_S, self.notice, worker_id)

    def notice(self, worker_id):
        self.obey(self.router.worker_gone(self.now, worker_id))


@given(
    slots=st.integers(1, 4),
    window=st.integers(0, 1),
    labels=st.lists(st.sampled_from("abc"), min_size=4, max_size=24),
    poison=st.integers(0, 23),
    gap_s=st.sampled_from([0.0, 0.005, 0.02]),
)
def test_one_poison_costs_two_workers_and_no_other_task(slots, window, labels, poison, gap_s):
    poison = min(poison, len(labels) - 1)
    pool = Pool(workers=4, slots=slots, window=window, labels=("a", "b", "c"), poisons={f"t{poison}"})
    for n, label in enumerate(labels):
        pool.at(n * gap_s, pool.submit, f"t{n}", label)
    pool.run()
    assert len(pool.dead) == 2
    expected = {f"t{n}": "gave_up" if n == poison else "answered" for n in range(len(labels))}
    assert pool.ended == expected


def test_without_quarantine_a_bystander_would_have_been_given_up():
    """The case that it is for: two tasks of one label, which go on together to the next worker."""
    pool = Pool(workers=3, slots=2, window=0, labels=("a",), poisons={"poison"})
    for worker in ("w1", "w2"):  # one left: both run there, and later both come to the same next one
        view = WorkerView(worker_id=worker, labels=("a",), slots=2, capacity=1, running=2, epoch_ms=1, revision=1)
        pool.obey(pool.router.worker_seen(0.0, view))
    pool.submit("bystander", "a")
    pool.submit("poison", "a")
    assert {command.worker_id for command in pool.flying.values()} == {"w0"}
    free = WorkerView(worker_id="w1", labels=("a",), slots=2, capacity=1, running=0, epoch_ms=1, revision=2)
    pool.at(0.1, lambda: pool.obey(pool.router.worker_seen(0.1, free)))
    pool.run()
    assert pool.ended == {"bystander": "answered", "poison": "gave_up"}


def pending(*names):
    return [Pending(TaskSpec(task_id=name, task_type="t", label="a", item=None), Label("a"), 0.0) for name in names]


def names(tasks):
    return [task.spec.task_id for task in tasks]


def quarantine(tasks):
    tasks_by_id = {task.spec.task_id: task for task in tasks}
    return Quarantine(tasks_by_id, Timers(), within_s=3.0, check_every_s=0.01), tasks_by_id


def test_the_next_one_goes_when_the_one_before_has_ended_was_lost_again_or_takes_long():
    tasks = pending("1", "2", "3", "4")
    held_back, open_tasks = quarantine(tasks)
    assert names(held_back.hold(0.0, tasks)) == ["1"]
    assert names(held_back.held()) == ["2", "3", "4"]
    assert held_back.release_due(0.01) == []
    del open_tasks["1"]
    assert names(held_back.release_due(0.02)) == ["2"]
    tasks[1].lost = ("w",)
    assert names(held_back.release_due(0.03)) == ["3"]
    assert held_back.release_due(0.04) == []
    assert held_back.wake_at > 0.04
    assert names(held_back.release_due(0.03 + 3.0 / 4)) == ["4"]
    assert (held_back.held(), held_back.wake_at) == ([], 0.0)


def test_who_was_cancelled_is_passed_over():
    tasks = pending("1", "2", "3")
    held_back, open_tasks = quarantine(tasks)
    held_back.hold(0.0, tasks)
    del open_tasks["1"], open_tasks["2"]
    assert names(held_back.held()) == ["3"]
    assert names(held_back.release_due(0.01)) == ["3"]


def test_one_alone_goes_on_at_once():
    tasks = pending("1")
    held_back, _ = quarantine(tasks)
    assert names(held_back.hold(0.0, tasks)) == ["1"]
    assert held_back.wake_at == 0.0
