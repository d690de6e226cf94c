"""Tasks of the queue group: the worker that has one is found, within a second if it was killed."""

import heapq
import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bus.names import ANY_WORKER
from dispatcher.liveness.outstanding import (
    INTERVAL_S,
    SILENCE_S,
    AssignmentLost,
    OutstandingAssignments,
    Ping,
    WorkerHangs,
)
from dispatcher.liveness.unattributed import QUERY_AFTER_S

NOBODY = "nobody"
"""The holder of a task that was lost on the way."""


class Pool:
    """Workers that answer a ping after a delay, unless they are killed, and send nothing else."""

    def __init__(self, delays, *, strangers=()):
        self.outstanding = OutstandingAssignments()
        self.delays = delays
        self.known = set(delays) - set(strangers)
        self.held: dict[str, set[int]] = {worker: set() for worker in delays}
        self.lost: dict[int, tuple[float, str]] = {}
        self.gone: dict[str, float] = {}
        self.asked: list[tuple[float, str]] = []
        self._events = []
        self._count = itertools.count()

    def at(self, when, what, *arguments):
        heapq.heappush(self._events, (when, next(self._count), what, arguments))

    def run(self, until):
        self.at(0.05, self.check)
        while self._events and self._events[0][0] <= until:
            now, _, what, arguments = heapq.heappop(self._events)
            what(now, *arguments)

    def send(self, now, assignment_id, holder):
        self.outstanding.add(now, assignment_id, ANY_WORKER)
        if holder in self.held:
            self.held[holder].add(assignment_id)

    def kill(self, now, worker):
        self.held.pop(worker, None)

    def check(self, now):
        for item in self.outstanding.check(now, lambda: self.known):
            match item:
                case Ping(worker_id):
                    self.asked.append((now, worker_id))
                    for worker in list(self.held) if worker_id == ANY_WORKER else [worker_id]:
                        self.at(now + self.delays[worker], self.answer, worker, int(now * 1000) / 1000)
                case WorkerHangs(worker_id=worker_id):
                    self.leave(now, worker_id)
                case AssignmentLost():
                    self.lose(now, [item])
        self.at(now + self.outstanding.interval_s, self.check)

    def answer(self, now, worker, pinged_at):
        if worker in self.held:
            self.lose(now, self.outstanding.reconcile(now, worker, pinged_at, self.held[worker]))
        elif worker not in self.gone:  # no responders
            self.leave(now, worker)

    def leave(self, now, worker):
        self.gone[worker] = now
        self.known.discard(worker)
        self.lose(now, self.outstanding.remove_worker(worker))

    def lose(self, now, items):
        for item in items:
            assert item.assignment_id not in self.lost, "lost twice"
            self.lost[item.assignment_id] = (now, item.worker_id)


WORKERS = ("w1", "w2", "w3", "w4")
TIMES = st.floats(0.06, 3.0)
DELAYS = st.sampled_from([0.001, 0.05, 0.19])


@given(
    delays=st.fixed_dictionaries(dict.fromkeys(WORKERS, DELAYS)),
    tasks=st.lists(st.tuples(TIMES, st.sampled_from([*WORKERS, NOBODY])), min_size=1, max_size=12),
    kills=st.dictionaries(st.sampled_from(WORKERS[:3]), TIMES, max_size=3),
)
@example(delays=dict.fromkeys(WORKERS, 0.001), tasks=[(1.0, "w1")], kills={"w1": 1.01})
def test_what_a_living_worker_has_is_never_lost_and_what_a_killed_one_had_is_lost_soon(delays, tasks, kills):
    pool = Pool(delays)
    holders = dict(enumerate(tasks))
    for assignment_id, (when, holder) in holders.items():
        pool.at(when, pool.send, assignment_id, holder)
    for worker, when in kills.items():
        pool.at(when, pool.kill, worker)
    pool.run(until=3.0 + SILENCE_S / 2)
    for assignment_id, (sent_at, holder) in holders.items():
        dead_at = kills.get(holder, 0.0 if holder == NOBODY else None)
        if dead_at is None:
            assert assignment_id not in pool.lost
            continue
        if holder in kills and sent_at > kills[holder]:  # the queue group would not have chosen it
            continue
        lost_at, worker = pool.lost[assignment_id]
        # Other deaths and slow answers delay a query, but never as long as a hung worker does.
        assert lost_at - max(sent_at, dead_at) < 2.0
        assert worker in {holder, ""} or worker in kills


@pytest.mark.parametrize("phase", [0.0, 0.07, 0.13, 0.19])
def test_a_worker_killed_with_a_task_of_the_queue_group_is_known_within_a_second(phase):
    pool = Pool(dict.fromkeys(WORKERS, 0.002))
    pool.at(1.0 + phase, pool.send, 1, "w1")
    pool.at(1.01 + phase, pool.kill, "w1")
    pool.run(until=3.0)
    lost_at, worker = pool.lost[1]
    assert worker == "w1", "all others said that they do not have it"
    assert pool.gone["w1"] - 1.01 - phase < 0.8
    assert lost_at - 1.01 - phase < 1.0


def test_a_worker_that_nobody_knows_keeps_the_task_that_it_names():
    pool = Pool({"w1": 0.002, "stranger": 0.01}, strangers=["stranger"])
    pool.at(1.0, pool.send, 1, "stranger")
    pool.run(until=1.0 + 2 * SILENCE_S)
    assert pool.lost == {}


def test_where_nobody_is_known_a_task_is_lost_only_after_the_time_that_a_worker_may_be_silent():
    pool = Pool({"w1": 0.002}, strangers=["w1"])
    pool.at(1.0, pool.send, 1, NOBODY)
    pool.run(until=1.0 + 2 * SILENCE_S)
    lost_at, worker = pool.lost[1]
    assert lost_at - 1.0 > SILENCE_S
    assert worker == ""


def test_a_worker_that_hangs_holds_nothing_up_but_the_task_that_nobody_names():
    pool = Pool({"w1": 0.002, "w2": 0.002, "hung": 60.0})
    pool.at(1.0, pool.send, 1, "hung")
    pool.at(1.5, pool.send, 2, "w1")
    pool.at(2.0, pool.kill, "w1")
    pool.run(until=1.0 + 2 * SILENCE_S)
    lost_at, _ = pool.lost[1]
    assert lost_at - 1.0 > SILENCE_S
    named_at, worker = pool.lost[2]
    assert worker == "w1"
    assert named_at - 2.0 < 3 * INTERVAL_S


def test_tasks_that_are_answered_soon_cost_no_message():
    pool = Pool(dict.fromkeys(WORKERS, 0.002))

    def burst(now, assignment_id):
        pool.send(now, assignment_id, "w1")
        pool.at(now + QUERY_AFTER_S / 2, lambda _, assignment_id=assignment_id: pool.outstanding.settle(assignment_id))

    for assignment_id in range(200):
        pool.at(1.0 + assignment_id * 0.005, burst, assignment_id)
    pool.run(until=4.0)
    assert pool.asked == []
    assert not pool.outstanding
