"""The simulation: its counts are right, and the router stays near its bounds in it."""

import random
import statistics

import msgspec
import pytest

from bench.sim.bounds import bound
from bench.sim.policies import POLICIES
from bench.sim.workload import WORKLOADS
from tests.bench.sim.conftest import in_a_row, play


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_one_worker_takes_what_its_tasks_take(policy):
    run = play(in_a_row("aab"), policy)
    assert run.misses == 2
    assert run.completion == pytest.approx([1.1, 0.1, 1.1])


@pytest.mark.parametrize("policy", sorted(POLICIES))
@pytest.mark.parametrize("name", ["A", "B", "C:0.7", "C':0.5", "F", "loads", "bursts", "shifts", "slots"])
def test_every_request_is_answered(name, policy):
    workload = WORKLOADS[name](random.Random(7), 0.02)
    run = play(workload, policy)
    assert run.failed == 0
    assert len(run.completion) == len(workload.requests)
    for request, took in zip(workload.requests, run.completion, strict=True):
        assert took >= request.run_s - 1e-9


@pytest.mark.parametrize("dispatchers", [2, 4])
@pytest.mark.parametrize("policy", ["labelbus", "random"])
def test_several_dispatchers_answer_every_request(policy, dispatchers):
    workload = WORKLOADS["C':0.5"](random.Random(7), 0.03)
    run = play(workload, policy, dispatchers=dispatchers, latency_s=0.00025)
    assert run.failed == 0
    assert all(took >= 0 for took in run.completion)


def test_several_dispatchers_load_little_more_than_one():
    workload = WORKLOADS["C:0.7"](random.Random(7), 0.1)
    one, four = (play(workload, dispatchers=count, latency_s=0.00025) for count in (1, 4))
    assert four.misses <= 1.5 * one.misses + 10
    assert statistics.fmean(four.completion) <= 2.0 * statistics.fmean(one.completion)


def test_loads_that_take_no_slot_leave_the_worker_to_its_hits():
    workload = WORKLOADS["C':0.7"](random.Random(7), 0.1)
    beside = msgspec.structs.replace(workload, window=1, overlap=True)
    one_by_one, overlapped = (statistics.fmean(play(w).completion) for w in (workload, beside))
    assert overlapped < one_by_one


def test_the_published_benchmark_comes_near_the_bounds():
    # Bars over many seeds are measured by `just bench-sim`; three seeds show that nothing is broken.
    rows = [(w, play(w)) for w in (WORKLOADS["A"](random.Random(seed), 1.0) for seed in (1, 2, 3))]
    assert statistics.fmean(run.misses for _, run in rows) <= 530
    assert statistics.fmean(statistics.fmean(run.completion) for _, run in rows) <= 0.180
    workload = WORKLOADS["B"](random.Random(1), 1.0)
    assert play(workload).misses <= bound(workload).misses + 2


def test_affinity_beats_random_by_far_where_labels_are_many():
    workload = WORKLOADS["C':0.5"](random.Random(3), 0.1)
    ours, theirs = (statistics.fmean(play(workload, policy).completion) for policy in ("labelbus", "random"))
    assert ours < theirs / 10


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_the_same_seed_gives_the_same_run(policy):
    runs = []
    keep = []
    for number in range(4):
        keep.append([object() for _ in range(number * 7)])  # other addresses: no order may depend on them
        workload = WORKLOADS["C':0.5"](random.Random(7), 0.05)
        runs.append(play(workload, policy, seed=7).completion)
    assert all(run == runs[0] for run in runs)
