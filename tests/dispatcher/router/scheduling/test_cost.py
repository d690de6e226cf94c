"""The gain of a load, and the worth of a copy."""

import random

import pytest

from dispatcher.router import RouterPolicy, WorkerView
from dispatcher.router.messages import TaskSpec
from dispatcher.router.scheduling.cost import CostModel
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
    found.load_s, found.run_s = load_s, run_s
    return found


def queue(state, name, count):
    found = state.labels.get(name)
    for number in range(count):
        arrived = NOW - 1.0 + number / count
        found.push(Pending(TaskSpec(task_id=str(number), task_type="t", label=name, item=None), found, arrived))


@pytest.mark.parametrize(
    ("load_s", "window", "served"),
    [(SHORT_S, 0, False), (LONG_S, 0, True), (LONG_S, 1, False)],
    ids=["short loads", "long loads", "loads beside runs"],
)
def test_a_copy_takes_the_more_demand_the_longer_it_keeps_a_worker_from_its_runs(state, load_s, window, served):
    wanted = label(state, "a", rate=0.45 / RUN_S, load_s=load_s)
    worker(state, "holder", "a", window=window)
    queue(state, "a", int(0.5 * load_s / RUN_S) + 4)
    assert CostModel(state).is_served(wanted, NOW) is served


@pytest.mark.parametrize(("run_s", "served"), [(RUN_S, False), (0.0, True)])
def test_a_load_that_takes_no_time_is_free(state, run_s, served):
    wanted = label(state, "a", rate=1.0, load_s=0.0, run_s=run_s)
    worker(state, "holder", "a")
    queue(state, "a", 3)
    assert CostModel(state).is_served(wanted, NOW) is served


@pytest.mark.parametrize(
    ("load_s", "evicted"), [(SHORT_S, "rare"), (LONG_S, "popular")], ids=["short loads", "long loads"]
)
def test_a_copy_that_can_be_spared_goes_before_a_rare_label_where_loads_are_long(state, load_s, evicted):
    label(state, "popular", rate=10.0, load_s=load_s)
    label(state, "rare", rate=0.5, load_s=load_s)
    first = worker(state, "first", "popular", "rare")
    worker(state, "second", "popular")
    eviction = CostModel(state).eviction(first, NOW)
    assert eviction is not None
    assert eviction.label is not None
    assert eviction.label.name == evicted


@pytest.mark.parametrize("load_s", [SHORT_S, LONG_S])
def test_a_copy_that_the_other_holder_cannot_do_without_stays(state, load_s):
    label(state, "popular", rate=0.75 / RUN_S, load_s=load_s)
    label(state, "rare", rate=0.5, load_s=load_s)
    first = worker(state, "first", "popular", "rare")
    worker(state, "second", "popular")
    eviction = CostModel(state).eviction(first, NOW)
    assert eviction is not None
    assert eviction.label is not None
    assert eviction.label.name == "rare"
