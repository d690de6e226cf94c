"""What a load gains, and what a copy is worth."""

import random

import pytest

from dispatcher.router import RouterPolicy, WorkerView
from dispatcher.router.affinity import Prices
from dispatcher.router.books import Books
from dispatcher.router.labels import Pending
from dispatcher.router.messages import TaskSpec
from dispatcher.router.workers import Worker

NOW = 100.0
RUN_S = 0.03
LONG_S, SHORT_S = 50 * RUN_S, 5 * RUN_S


@pytest.fixture
def books():
    return Books(RouterPolicy(), random.Random(1), 0.0)


def worker(books, name, *labels, window=0):
    held = Worker(name, WorkerView(worker_id=name, labels=labels, capacity=len(labels), window=window))
    held.capacity, held.window = len(labels), window
    held.recount()
    for label in labels:
        books.hold(held, books.labels.get(label))
    return held


def label(books, name, *, rate, load_s, run_s=RUN_S):
    found = books.labels.get(name)
    found.counter = rate / books.clock.scale(NOW)
    found.load_s, found.run_s = load_s, run_s
    return found


def queue(books, name, count):
    found = books.labels.get(name)
    for number in range(count):
        arrived = NOW - 1.0 + number / count
        found.push(Pending(TaskSpec(task_id=str(number), task_type="t", label=name, item=None), found, arrived))


@pytest.mark.parametrize(
    ("load_s", "window", "served"),
    [(SHORT_S, 0, False), (LONG_S, 0, True), (LONG_S, 1, False)],
    ids=["short loads", "long loads", "loads beside runs"],
)
def test_a_copy_takes_the_more_demand_the_longer_it_keeps_a_worker_from_its_runs(books, load_s, window, served):
    wanted = label(books, "a", rate=0.45 / RUN_S, load_s=load_s)
    worker(books, "holder", "a", window=window)
    queue(books, "a", int(0.5 * load_s / RUN_S) + 4)
    assert Prices(books).is_served(wanted, NOW) is served


@pytest.mark.parametrize(("run_s", "served"), [(RUN_S, False), (0.0, True)])
def test_a_load_that_takes_no_time_is_free(books, run_s, served):
    wanted = label(books, "a", rate=1.0, load_s=0.0, run_s=run_s)
    worker(books, "holder", "a")
    queue(books, "a", 3)
    assert Prices(books).is_served(wanted, NOW) is served


@pytest.mark.parametrize(
    ("load_s", "given_up"), [(SHORT_S, "rare"), (LONG_S, "popular")], ids=["short loads", "long loads"]
)
def test_a_copy_that_can_be_spared_goes_before_a_rare_label_where_loads_are_long(books, load_s, given_up):
    label(books, "popular", rate=10.0, load_s=load_s)
    label(books, "rare", rate=0.5, load_s=load_s)
    first = worker(books, "first", "popular", "rare")
    worker(books, "second", "popular")
    evict, _ = Prices(books).victim(first, NOW)
    assert evict is not None
    assert evict.name == given_up


@pytest.mark.parametrize("load_s", [SHORT_S, LONG_S])
def test_a_copy_that_the_other_holder_cannot_do_without_stays(books, load_s):
    label(books, "popular", rate=0.75 / RUN_S, load_s=load_s)
    label(books, "rare", rate=0.5, load_s=load_s)
    first = worker(books, "first", "popular", "rare")
    worker(books, "second", "popular")
    evict, _ = Prices(books).victim(first, NOW)
    assert evict is not None
    assert evict.name == "rare"
