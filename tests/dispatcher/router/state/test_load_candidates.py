"""The best candidate is found however long the clock has run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.router import TaskSpec
from dispatcher.router.state.labels import Label, Pending
from dispatcher.router.state.load_candidates import LoadCandidates
from dispatcher.router.state.workers import PoolLabel

QUEUES = st.lists(
    st.tuples(st.sampled_from([0.1, 0.5, 3.0]), st.lists(st.integers(0, 400), min_size=1, max_size=30)),
    min_size=1,
    max_size=12,
)


def benefit(label, now):
    return label.queue_length * (now + label.load_s) - label.arrival_sum


def rank(label, now):
    return benefit(label, now) / label.load_s


def candidates(queues, began):
    made = LoadCandidates()
    labels = []
    for number, (load_s, ages) in enumerate(queues):
        label: PoolLabel = Label(f"l{number}")
        label.load_s = load_s
        for arrived in sorted(began + age / 4 for age in ages):
            label.push(Pending(TaskSpec(task_id="", task_type="t", label=label.name, item=None), label, arrived))
        now = began + 100.0
        made.put(label, benefit(label, now) / label.queue_length - now, load_s)
        labels.append(label)
    return made, labels


@pytest.mark.parametrize("began", [0.0, 2.0**20], ids=["at the start", "after twelve days"])
@given(queues=QUEUES)
def test_the_top_of_some_class_gains_nearly_as_much_a_second_of_load_as_any_label(began, queues):
    made, labels = candidates(queues, began)
    now = began + 110.0
    best = max(rank(label, now) for label in labels)
    assert max(rank(label, now) for label in made.tops()) >= best / 1.125


@given(queues=QUEUES)
def test_the_order_does_not_depend_on_the_origin_of_the_clock(queues):
    early, _ = candidates(queues, 0.0)
    late, _ = candidates(queues, 2.0**20)
    assert [label.name for label in early.tops()] == [label.name for label in late.tops()]


def test_a_label_that_moved_on_is_no_candidate():
    made, [first, second] = candidates([(0.5, [0]), (0.5, [40])], 0.0)
    assert made.tops() == [first]
    first.version += 1
    assert made.tops() == [second]
    second.version += 1
    assert made.tops() == []
