"""Passes in the simulation: tasks of a label share runs, by the production worker's admission and gathering."""

import random
from heapq import heappop, heappush

import msgspec
import pytest

from bench.sim.pass_workload import GPU, PASS_WORKLOADS
from bench.sim.policies import ONE_AT_A_TIME, POLICIES, dispatcher_for, workload_for
from bench.sim.pool import Call, Job, SimWorker
from bench.sim.workload import WORKLOADS
from tests.bench.sim.conftest import play

RULES = (*POLICIES, ONE_AT_A_TIME)


class Alone:
    """One worker without dispatchers, and its events."""

    def __init__(self, **settings):
        self.events: list[tuple[float, int, Call]] = []
        self.ends: list[tuple[str, float, int]] = []
        self.worker = SimWorker(
            "w",
            capacity=2,
            slots=1,
            window=1,
            overlap=True,
            at=self.at,
            changed=lambda now, worker, news: None,
            **settings,
        )
        self.worker.warm([("a", 1.0), ("b", 1.0)])

    def at(self, at, call):
        heappush(self.events, (at, len(self.events) + len(self.ends), call))

    def send(self, now, labels):
        return [self.worker.take(now, Job(label, 1.0, 1.0, "", self.done)) for label in labels]

    def done(self, now, job):
        self.ends.append((job.label, now, job.pass_size))

    def play(self):
        while self.events:
            at, _, call = heappop(self.events)
            call(at)


def test_the_next_pass_gathers_while_one_runs():
    alone = Alone(pass_tasks=4, fixed_s=8.0)
    assert all(alone.send(0.0, "aaaa"))
    alone.play()
    assert alone.ends == [("a", 9.0, 1)] + [("a", 20.0, 3)] * 3
    assert alone.worker.passes == 2


def test_the_label_that_waits_longest_is_next():
    alone = Alone(pass_tasks=4, fixed_s=8.0)
    assert alone.send(0.0, "abab") == [True] * 4
    alone.play()
    assert [label for label, _, _ in alone.ends] == ["a", "b", "b", "a"]


def test_tasks_of_one_label_take_places_together_and_those_of_another_find_none():
    alone = Alone(pass_tasks=4, fixed_s=8.0)
    assert alone.send(0.0, "a" * 8 + "b" + "c") == [True] * 9 + [False]
    assert alone.worker.gathers("a") is False  # eight of four at a time: one runs or is next, all others gather
    assert alone.worker.gathers("b")


def test_without_passes_a_task_takes_a_place_and_runs_for_its_own_time_and_the_fixed_one():
    alone = Alone(fixed_s=8.0)
    assert alone.send(0.0, "aaa") == [True, True, False]
    alone.play()
    assert alone.ends == [("a", 9.0, 1), ("a", 18.0, 1)]


@pytest.mark.parametrize("policy", RULES)
@pytest.mark.parametrize("name", sorted(PASS_WORKLOADS))
def test_every_request_is_answered(name, policy):
    workload = PASS_WORKLOADS[name](random.Random(7), 0.01)
    run = play(workload, policy)
    assert run.failed == 0
    for request, took in zip(workload.requests, run.completion, strict=True):
        assert took >= workload.alone_s(request) - 1e-9


@pytest.mark.parametrize("policy", RULES)
def test_the_same_seed_gives_the_same_run(policy):
    runs = [play(PASS_WORKLOADS["P:0.3"](random.Random(7), 0.01), policy, seed=7).completion for _ in range(2)]
    assert runs[0] == runs[1]


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_policies_share_passes(policy):
    workload = PASS_WORKLOADS["P:1"](random.Random(7), 0.05)
    run = play(workload, policy)
    assert len(workload.requests) / run.passes > 20
    assert len(workload.requests) / run.end_s > 5 / (GPU.fixed_s + GPU.unit_s)


def test_labels_without_a_holder_are_loaded_though_the_pool_is_busy_with_passes():
    workload = PASS_WORKLOADS["P:0.3"](random.Random(7), 0.2)
    run = play(workload)
    assert max(run.completion) < 4.0  # with an age limit of a whole run for each waiting task it was all of the time
    assert len(workload.requests) / run.passes > 5


def test_one_at_a_time_is_the_same_workload_without_passes():
    workload = PASS_WORKLOADS["P:20"](random.Random(7), 0.01)
    assert workload_for(ONE_AT_A_TIME, workload) == msgspec.structs.replace(workload, pass_tasks=1)
    run = play(workload, ONE_AT_A_TIME)
    assert run.passes == len(workload.requests)


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_a_workload_without_passes_is_played_by_the_policies_as_they_were(policy):
    workload = WORKLOADS["A"](random.Random(1), 0.01)
    assert type(dispatcher_for(policy, workload, 1)) is type(POLICIES[policy](1))
