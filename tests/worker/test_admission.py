"""Admission of tasks: slots, the window, places that tasks of one label share, draining."""

import math

from hypothesis import given
from hypothesis import strategies as st

from worker.admission import Admission


def test_slots_and_window_bound_the_tasks_that_are_taken():
    admission = Admission(slots=2, window=1)
    seen = []
    while admission.has_room():
        seen.append((admission.taken, admission.is_full))
        admission.take()
    assert seen == [(0, False), (1, False), (2, True)]
    admission.answered()
    assert (admission.has_room(), admission.is_full) == (True, True)
    admission.answered()
    assert not admission.is_full


def test_a_worker_that_drains_takes_nothing_more():
    admission = Admission(slots=2, window=1)
    admission.take("a", 8)
    admission.drain()
    assert admission.draining
    assert not admission.has_room()
    assert not admission.has_room("a", 8)


def test_tasks_of_a_label_gather_without_taking_another_place():
    admission = Admission(slots=1, window=0)
    for _ in range(8):
        assert admission.has_room("a", 8)
        admission.take("a", 8)
    assert (admission.taken, admission.places, admission.is_full) == (8, 1, True)
    assert not admission.has_room("a", 8)
    assert not admission.has_room("b", 8)
    assert not admission.has_room()
    admission.answered("a", 8)
    assert admission.has_room("a", 8)
    assert not admission.has_room("b", 8)


def test_where_no_pass_pays_each_task_takes_a_place():
    admission = Admission(slots=1, window=1)
    admission.take("a", 1)
    admission.take("a", 1)
    assert admission.places == 2
    assert not admission.has_room("a", 1)


def test_places_follow_what_is_known_of_the_label_at_its_next_task():
    admission = Admission(slots=1, window=1)
    for _ in range(8):
        admission.take("a", 8)
    admission.answered("a", 1)
    assert admission.places == 7
    assert not admission.has_room("a", 1)
    admission.answered("a", 6)
    assert admission.places == 1
    assert admission.has_room("b", 6)


LABELS = st.sampled_from([None, "a", "b", "c"])


@given(slots=st.integers(1, 3), window=st.integers(0, 2), steps=st.lists(st.tuples(LABELS, st.booleans()), max_size=80))
def test_places_are_those_of_the_tasks_and_never_more_than_slots_and_window(
    slots: int, window: int, steps: list[tuple[str | None, bool]]
) -> None:
    per_place = {"a": 1, "b": 2, "c": 6, None: 1}
    admission = Admission(slots=slots, window=window)
    taken: list[str | None] = []
    for label, is_answer in steps:
        if is_answer and label in taken:
            taken.remove(label)
            admission.answered(label, per_place[label])
        elif not is_answer and admission.has_room(label, per_place[label]):
            taken.append(label)
            admission.take(label, per_place[label])
        places = sum(math.ceil(taken.count(label) / tasks) for label, tasks in per_place.items())
        assert (admission.taken, admission.places) == (len(taken), places)
        assert places <= slots + window
        assert admission.is_full == (places >= slots)
        assert admission.has_room() == (places < slots + window)
