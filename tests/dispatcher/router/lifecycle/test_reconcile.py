"""Most answers bring a view that changes nothing, and only those may be passed over."""

import random

import msgspec
import pytest

from dispatcher.router import RouterPolicy, TaskSpec, WorkerView
from dispatcher.router.lifecycle.contention import Contention
from dispatcher.router.lifecycle.reconcile import apply_view, changes_nothing
from dispatcher.router.messages import Route
from dispatcher.router.state.labels import Pending
from dispatcher.router.state.state import RouterState
from dispatcher.router.state.workers import Worker

VIEW = WorkerView(worker_id="w", labels=("a", "b"), running=1, slots=2, window=1, capacity=3, epoch_ms=1, revision=1)


@pytest.fixture
def known():
    """A worker with one task of ours, as it was told by the view."""
    state = RouterState(RouterPolicy(), random.Random(1), 0.0)
    worker = Worker("w", VIEW)
    state.pool.add(worker)
    apply_view(state, Contention(state), 0.0, worker, msgspec.structs.replace(VIEW, running=0))
    label = state.labels.get("a")
    state.send(0.0, Pending(TaskSpec(task_id="1", task_type="t", label="a", item=None), label, 0.0), worker, Route.HIT)
    return worker


@pytest.mark.parametrize("fields", [{}, {"revision": 2}, {"revision": 7}])
def test_a_view_of_the_same_things_changes_nothing(known, fields):
    assert changes_nothing(known, msgspec.structs.replace(VIEW, **fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"labels": ("a",)},
        {"labels": ("a", "c")},
        {"loading": ("c",)},
        {"running": 2},
        {"running": None},
        {"slots": 1},
        {"window": 0},
        {"capacity": 2},
        {"draining": True},
        {"task_types": ("t",)},
        {"load_ms": {"a": 5.0}},
        {"epoch_ms": 2},
        {"revision": 0},
        {"worker_id": "other"},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_view_with_anything_else_in_it_is_looked_into(known, fields):
    assert not changes_nothing(known, msgspec.structs.replace(VIEW, **fields))


@pytest.mark.parametrize("field", ["draining", "yielding", "foreign_loads", "foreign"])
def test_a_worker_of_which_more_is_believed_than_it_says_is_looked_into(known, field):
    setattr(known, field, 1)
    assert not changes_nothing(known, VIEW)


def test_after_a_load_was_sent_the_labels_of_the_view_are_compared_again(known):
    known.synced_labels = None
    assert not changes_nothing(known, VIEW)
