"""Bounds where tasks share passes, on cases that are worked out by hand."""

import math
import random
from functools import partial
from statistics import fmean

import pytest

from bench.sim.bounds import bound
from bench.sim.pass_bound import greedy, least
from bench.sim.pass_workload import PASS_WORKLOADS
from bench.sim.workload import Request, Workload


def arrivals(*requests, fixed_s=8.0, slots=1, pass_tasks=64, producers=0):
    made = [Request(at, label, 1.0, 0.5) for at, label in requests]
    return Workload(
        name="by hand",
        workers=1,
        capacity=2,
        slots=slots,
        pass_tasks=pass_tasks,
        fixed_s=fixed_s,
        requests=made,
        producers=producers,
    )


@pytest.mark.parametrize(
    ("workload", "completions"),
    [
        pytest.param(arrivals((0, "a"), (0, "a"), (0, "a")), [11] * 3, id="all that wait in one pass"),
        pytest.param(arrivals((0, "a"), (1, "a"), (2, "a")), [9, 18, 17], id="those that come meanwhile in the next"),
        pytest.param(arrivals((0, "a"), (1, "b"), (2, "c"), (3, "c")), [9, 27, 17, 16], id="most tasks first"),
        pytest.param(arrivals((0, "a"), (1, "b"), (2, "c")), [9, 17, 25], id="then the oldest"),
        pytest.param(arrivals((0, "a"), (1, "b"), slots=2), [9, 9], id="as many passes as slots"),
        pytest.param(arrivals((0, "a"), (0, "a"), (0, "a"), pass_tasks=2), [10, 10, 19], id="no more than may share"),
        pytest.param(arrivals((0, "a"), (0, "a"), fixed_s=0.0), [1, 2], id="one by one where passes gain nothing"),
        pytest.param(
            arrivals((0, "a"), (0, "a"), (0, "a"), (0, "a"), producers=2), [10, 10, 10, 10], id="a closed loop"
        ),
    ],
)
def test_a_free_slot_takes_the_label_that_ends_most_tasks_a_second(workload, completions):
    assert greedy(workload) == pytest.approx(fmean(completions))


def test_no_policy_answers_sooner_in_a_steady_state():
    gpu = partial(least, fixed_s=0.008, unit_s=0.0002, most=64)
    assert gpu(slots=1, producers=64) == pytest.approx(0.0208)  # back-to-back passes of 64
    assert gpu(slots=4, producers=64) == pytest.approx(0.0112)  # passes of 16 in each slot
    assert gpu(slots=4, producers=1) == pytest.approx(0.0082)  # alone
    assert gpu(slots=1, producers=128) == pytest.approx(0.0416)  # a second pass waits for the first
    assert gpu(slots=1, rate=1.0) == pytest.approx(0.0082)
    assert gpu(slots=1, rate=2500.0) == pytest.approx(0.016)  # b takes half of the time: passes of 40
    assert gpu(slots=1, rate=3100.0) == math.inf
    assert least(fixed_s=0.0, unit_s=0.03, slots=2, most=64, rate=66.0) == pytest.approx(0.03)
    # Two producers that think 10 s, a = b = 1 s in one slot: R² + 7·R − 10 = 0 would be 1.2 s, less than a pass of one.
    assert least(fixed_s=1.0, unit_s=1.0, slots=1, most=64, producers=2, think_s=10.0) == pytest.approx(2.0)


@pytest.mark.parametrize("name", ["P:1", "P:20", "P:0.1", "P:0.7", "P:cpu"])
def test_the_greedy_bound_is_not_below_what_no_policy_reaches(name):
    workload = PASS_WORKLOADS[name](random.Random(3), 0.2)
    unit_s = fmean(request.run_s for request in workload.requests)
    rate = 0.0 if workload.producers else len(workload.requests) / workload.requests[-1].arrives
    theorem = least(
        fixed_s=workload.fixed_s,
        unit_s=unit_s,
        slots=workload.workers,
        most=workload.pass_tasks,
        rate=rate,
        producers=workload.producers,
    )
    assert bound(workload).mean_s >= theorem * 0.99  # the last pass of P:1 is not full
