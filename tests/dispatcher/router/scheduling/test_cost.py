"""The gain of a load, and the worth of a copy."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.router import RouterPolicy, WorkerView
from dispatcher.router.messages import TaskSpec
from dispatcher.router.scheduling.cost import CostModel, is_beside
from dispatcher.router.state.labels import Pending
from dispatcher.router.state.state import RouterState
from dispatcher.router.state.workers import Worker

NOW = 100.0
RUN_S = 0.03
LONG_S, SHORT_S = 50 * RUN_S, 5 * RUN_S


@pytest.fixture
def state():
    return RouterState(RouterPolicy(), random.Random(1), 0.0)


def worker(state, name, *labels, window=0):
    held = Worker(name, WorkerView(worker_id=name, labels=labels, capacity=len(labels), window=window))
    held.capacity, held.window = len(labels), window
    held.recount()
    for label in labels:
        state.hold(held, state.labels.get(label))
    return held


def label(state, name, *, rate, load_s, run_s=RUN_S):
    found = state.labels.get(name)
    found.arrival_weight = rate / state.clock.scale(NOW)
    found.arrived_at = NOW
    found.load_s, found.run_s = load_s, run_s
    return found


def queue(state, name, count):
    found = state.labels.get(name)
    for number in range(count):
        arrived = NOW - 1.0 + number / count
        found.push(Pending(TaskSpec(task_id=str(number), task_type="t", label=name, item=None), found, arrived))


def benefit(state, wanted):
    return CostModel(state).benefit(wanted, NOW)


def test_without_a_holder_a_load_gains_the_time_waited_and_a_load_time_for_each_task(state):
    wanted = label(state, "a", rate=1.0, load_s=2.0)
    queue(state, "a", 4)
    waited = 1.0 + 0.75 + 0.5 + 0.25
    assert benefit(state, wanted) == pytest.approx(waited + 4 * 2.0)


@pytest.mark.parametrize(("count", "pays"), [(2, False), (20, True)])
def test_a_copy_pays_only_if_tasks_will_still_wait_when_it_is_ready(state, count, pays):
    wanted = label(state, "a", rate=0.1 / RUN_S, load_s=SHORT_S)
    worker(state, "holder", "a")
    queue(state, "a", count)
    assert CostModel(state).is_served(wanted, NOW) is not pays


def test_a_copy_gains_what_the_fluid_queue_says(state):
    """Step by step: the queue drains at one worker's rate until the copy is ready, at two workers' rate after it."""
    rate, load_s, count = 0.5 / RUN_S, 10 * RUN_S, 60
    wanted = label(state, "a", rate=rate, load_s=load_s)
    worker(state, "holder", "a")
    found = state.labels.get("a")
    for number in range(count):  # all at once, a load time ago: no surge beyond the rate is seen in it
        spec = TaskSpec(task_id=str(number), task_type="t", label="a", item=None)
        found.push(Pending(spec, found, NOW - 100.0))

    def area(second_from):
        left, area, step, at = float(count), 0.0, 1e-4, 0.0
        while left > 0.0:
            workers = 2 if at >= second_from else 1
            left += (rate - workers / RUN_S) * step
            area += max(left, 0.0) * step
            at += step
        return area

    assert benefit(state, wanted) == pytest.approx(area(1e9) - area(load_s), rel=0.02)


def test_a_label_that_its_holders_can_never_serve_gains_by_a_copy_whatever_its_length(state):
    wanted = label(state, "a", rate=2.0 / RUN_S, load_s=SHORT_S)
    worker(state, "holder", "a")
    queue(state, "a", 2)
    assert benefit(state, wanted) > 1.0


@pytest.mark.parametrize("run_s", [RUN_S, 0.0])
def test_times_of_zero_are_no_fault(state, run_s):
    wanted = label(state, "a", rate=1.0, load_s=0.0, run_s=run_s)
    worker(state, "holder", "a")
    queue(state, "a", 3)
    assert benefit(state, wanted) >= 0.0 or CostModel(state).is_served(wanted, NOW)


def test_a_load_in_a_slot_costs_what_waits_all_of_it_and_what_arrives_half_of_it(state):
    label(state, "a", rate=2.0, load_s=1.0)
    label(state, "b", rate=1.0, load_s=1.0)
    held = worker(state, "w", "a", "b")
    queue(state, "b", 3)
    assert CostModel(state).slot_cost(held, 0.5, NOW) == pytest.approx((3.0 * 0.5 / 2 + 3) * 0.5)


@pytest.mark.parametrize(("window", "loads", "beside"), [(0, 0, False), (1, 0, True), (1, 1, False), (2, 1, True)])
def test_as_many_loads_as_the_window_is_long_take_no_slot(state, window, loads, beside):
    held = worker(state, "w", "a", window=window)
    held.assigned_loads = loads
    assert is_beside(held) is beside


def evicted(state, held, load_s=1.0, **how):
    eviction = CostModel(state).eviction(held, load_s, NOW, **how)
    return None if eviction is None or eviction.label is None else (eviction.label.name, eviction.regret_s)


def test_the_regret_of_the_only_holder_is_a_reload_for_each_task_that_arrives_meanwhile(state):
    label(state, "rare", rate=0.5, load_s=3.0)
    label(state, "hot", rate=5.0, load_s=3.0)
    held = worker(state, "w", "rare", "hot")
    assert evicted(state, held, load_s=2.0) == ("rare", pytest.approx(3.0 * 0.5 * 2.0))


def test_the_regret_of_a_copy_is_the_wait_for_the_other_holders(state):
    use = 0.25
    label(state, "popular", rate=use / RUN_S, load_s=3.0)
    label(state, "rare", rate=0.5, load_s=3.0)
    first = worker(state, "first", "popular", "rare")
    worker(state, "second", "popular")
    wait_s = RUN_S * use / (1 - use)
    assert evicted(state, first, load_s=2.0) == ("popular", pytest.approx(wait_s * use / RUN_S * 2.0))


def test_a_copy_that_the_other_holder_cannot_do_without_stays(state):
    label(state, "popular", rate=1.5 / RUN_S, load_s=LONG_S)
    label(state, "rare", rate=0.5, load_s=LONG_S)
    first = worker(state, "first", "popular", "rare")
    worker(state, "second", "popular")
    name, _ = evicted(state, first)
    assert name == "rare"


def test_the_only_holder_of_a_label_that_tasks_wait_for_keeps_it_unless_forced(state):
    label(state, "a", rate=0.0, load_s=3.0)
    held = worker(state, "w", "a")
    queue(state, "a", 2)
    assert evicted(state, held) is None
    assert evicted(state, held, forced=True) == ("a", pytest.approx(3.0 * 2))


def test_where_there_is_room_nothing_is_evicted(state):
    held = worker(state, "w", "a")
    held.capacity = 2
    eviction = CostModel(state).eviction(held, 1.0, NOW)
    assert eviction is not None
    assert (eviction.label, eviction.regret_s) == (None, 0.0)


@given(
    arrivals=st.floats(0.01, 100.0),
    load_s=st.floats(0.01, 60.0),
)
def test_with_equal_labels_a_load_starts_when_as_many_tasks_wait_as_arrive_in_a_load_time(arrivals, load_s):
    state = RouterState(RouterPolicy(), random.Random(1), 0.0)
    wanted = label(state, "wanted", rate=arrivals, load_s=load_s)
    label(state, "held", rate=arrivals, load_s=load_s)
    held = worker(state, "w", "held", window=1)
    enough = math.ceil(arrivals * load_s)
    for number in range(enough):
        spec = TaskSpec(task_id=str(number), task_type="t", label="wanted", item=None)
        wanted.push(Pending(spec, wanted, NOW))
    eviction = CostModel(state).eviction(held, load_s, NOW)
    assert eviction is not None
    assert CostModel(state).benefit(wanted, NOW) >= eviction.regret_s * (1 - 1e-9)
    wanted.pop()
    assert CostModel(state).benefit(wanted, NOW) < eviction.regret_s or enough == 1


def test_beside_other_dispatchers_a_worker_that_loads_gets_no_second_load_in_a_free_slot(state):
    held = worker(state, "w", "a", "b", window=1)
    model = CostModel(state)
    loading = state.labels.get("a")
    state.set_loading(held, loading, NOW + 1.0)  # by another dispatcher, whose tasks are believed to be gone
    assert model.may_load(held, NOW)
    state.others_until = NOW + 60.0
    assert not model.may_load(held, NOW)
    state.set_loaded(held, loading)
    assert model.may_load(held, NOW)


def test_a_label_that_nothing_arrives_for_any_more_is_cheap_to_evict_and_to_make_wait(state):
    held = worker(state, "w", "a", "b")
    label(state, "a", rate=10.0, load_s=1.0)
    label(state, "b", rate=1.0, load_s=1.0)
    model = CostModel(state)
    eviction = model.eviction(held, 1.0, NOW)
    assert eviction is not None
    assert eviction.label is state.labels.get("b")
    assert eviction.regret_s == pytest.approx(1.0)
    cost = model.slot_cost(held, 1.0, NOW)
    state.labels.get("a").arrived_at = NOW - 8.0  # 80 tasks should have come
    eviction = model.eviction(held, 1.0, NOW)
    assert eviction is not None
    assert eviction.label is state.labels.get("a")
    assert eviction.regret_s == pytest.approx(0.5)
    assert cost == pytest.approx(5.5)
    assert model.slot_cost(held, 1.0, NOW) == pytest.approx(0.75)
