"""Assignments without an answer: when a worker is pinged, hangs, or lost one."""

import itertools

import pytest

from bus.names import ANY_WORKER
from dispatcher.liveness.outstanding import (
    AUDIT_S,
    INTERVAL_S,
    SILENCE_S,
    AssignmentLost,
    OutstandingAssignments,
    Ping,
    WorkerHangs,
)


def checks(outstanding: OutstandingAssignments, begin: float, end: float) -> list[tuple[float, object]]:
    """Return the items of the checks between two times, each with its time."""
    times = [begin + n * INTERVAL_S for n in range(1, int((end - begin) / INTERVAL_S) + 1)]
    return [(now, item) for now in times for item in outstanding.check(now)]


def test_a_worker_without_outstanding_assignments_is_not_pinged():
    outstanding = OutstandingAssignments()
    outstanding.add(0.0, 1, "w")
    outstanding.settle(1)
    assert not outstanding
    assert checks(outstanding, 0.0, 20.0) == []


def test_a_silent_worker_with_an_outstanding_assignment_is_pinged_and_then_hangs():
    outstanding = OutstandingAssignments()
    outstanding.add(0.0, 1, "w")
    said = checks(outstanding, 0.0, SILENCE_S + 2 * INTERVAL_S)
    assert said[0] == (INTERVAL_S, Ping("w"))
    now, last = said[-1]
    assert isinstance(last, WorkerHangs)
    assert SILENCE_S < now <= SILENCE_S + INTERVAL_S + 1e-6


def test_a_worker_that_is_heard_does_not_hang_but_is_pinged_when_an_assignment_is_old():
    outstanding = OutstandingAssignments()
    outstanding.add(0.0, 1, "w")
    asked = []
    for n in range(1, 40):
        now = n * INTERVAL_S
        outstanding.mark_alive(now - 0.1, "w")
        asked += [now for item in outstanding.check(now) if item == Ping("w")]
        assert not any(isinstance(item, WorkerHangs) for item in outstanding.check(now))
    assert asked[0] >= AUDIT_S
    assert all(later - earlier >= AUDIT_S - 1e-6 for earlier, later in itertools.pairwise(asked))


def test_what_is_missing_from_two_answers_is_lost_and_only_once():
    outstanding = OutstandingAssignments()
    outstanding.add(0.0, 1, "w")
    outstanding.add(0.0, 2, "w")
    assert outstanding.reconcile(1.0, "w", 0.9, {2}) == []
    assert outstanding.check(1.0 + INTERVAL_S / 2) == [Ping("w")], "a miss is looked into at once"
    assert outstanding.reconcile(2.0, "w", 1.9, {2}) == [AssignmentLost(assignment_id=1, worker_id="w")]
    assert outstanding.reconcile(3.0, "w", 2.9, {2}) == []
    outstanding.settle(1)  # its result after all
    outstanding.settle(2)
    assert not outstanding


def test_answers_that_come_together_count_as_one():
    outstanding = OutstandingAssignments()
    outstanding.add(0.0, 1, "w")
    for asked_at in (0.4, 0.8, 1.2, 1.6):
        assert outstanding.reconcile(8.0, "w", asked_at, set()) == []
    assert outstanding.reconcile(8.0 + INTERVAL_S, "w", 8.1, {1}) == []
    assert outstanding.reconcile(9.0, "w", 8.9, set()) == []


def test_an_assignment_named_again_after_a_miss_is_not_lost():
    outstanding = OutstandingAssignments()
    outstanding.add(0.0, 1, "w")
    for now, held in ((1.0, set()), (2.0, {1}), (3.0, set())):
        assert outstanding.reconcile(now, "w", now - 0.1, held) == []


def test_an_assignment_sent_after_the_ping_is_not_missed():
    outstanding = OutstandingAssignments()
    outstanding.add(1.0, 1, "w")
    for now in (1.1, 1.2, 1.3):
        assert outstanding.reconcile(now, "w", 0.9, set()) == []


def test_all_are_pinged_for_tasks_of_the_queue_group_and_the_worker_that_names_one_has_it():
    outstanding = OutstandingAssignments()
    outstanding.add(0.0, 1, ANY_WORKER)
    assert outstanding.check(INTERVAL_S) == [Ping(ANY_WORKER)]
    assert outstanding.reconcile(0.5, "w", 0.4, {1, 99}) == []
    assert outstanding.reconcile(0.5, "x", 0.4, set()) == []
    said = checks(outstanding, 0.5, 0.5 + SILENCE_S + 2 * INTERVAL_S)
    assert {type(item) for _, item in said} == {Ping, WorkerHangs}
    assert outstanding.remove_worker("w") == [AssignmentLost(assignment_id=1, worker_id="w")], (
        "the router does not know that it was with this worker"
    )
    assert not outstanding


def test_a_task_of_the_queue_group_that_nobody_names_is_lost():
    outstanding = OutstandingAssignments()
    outstanding.add(0.0, 1, ANY_WORKER)
    said = checks(outstanding, 0.0, 2 * SILENCE_S)
    lost = [(now, item) for now, item in said if isinstance(item, AssignmentLost)]
    assert [item for _, item in lost] == [AssignmentLost(assignment_id=1, worker_id="")]
    assert lost[0][0] > SILENCE_S
    assert not outstanding


def test_assignments_sent_to_a_worker_that_is_gone_are_not_returned_since_the_router_knows_them():
    outstanding = OutstandingAssignments()
    outstanding.add(0.0, 1, "w")
    assert outstanding.remove_worker("w") == []
    assert outstanding.remove_worker("w") == []
    assert not outstanding


@pytest.mark.parametrize("worker", ["w", ANY_WORKER])
def test_silence_does_not_count_while_no_worker_can_be_heard(worker):
    outstanding = OutstandingAssignments()
    outstanding.add(0.0, 1, worker)
    for n in range(1, 60):
        now = n * INTERVAL_S
        outstanding.restart_silence(now)
        assert {type(item) for item in outstanding.check(now)} <= {Ping}
    said = checks(outstanding, now, now + SILENCE_S + 2 * INTERVAL_S)
    assert any(isinstance(item, WorkerHangs | AssignmentLost) for _, item in said)


def test_a_suspect_is_pinged_until_there_is_a_sign_of_life():
    outstanding = OutstandingAssignments()
    outstanding.suspect(1.0, "w")
    assert outstanding
    assert outstanding.check(1.0) == [Ping("w")]
    assert outstanding.check(1.0 + INTERVAL_S) == [Ping("w")]
    assert outstanding.reconcile(1.5, "w", 1.4, set()) == []
    assert not outstanding
    outstanding.suspect(2.0, "w")
    outstanding.mark_alive(2.1, "w")
    assert not outstanding
    outstanding.suspect(3.0, "w")
    assert outstanding.remove_worker("w") == []
    assert not outstanding


def test_a_suspect_that_answers_nothing_hangs_but_not_while_none_can_be_heard():
    outstanding = OutstandingAssignments()
    outstanding.suspect(0.0, "w")
    for n in range(1, 60):
        outstanding.restart_silence(n * INTERVAL_S)
        assert outstanding.check(n * INTERVAL_S) == []
    began = 60 * INTERVAL_S
    said = checks(outstanding, began, began + SILENCE_S + 2 * INTERVAL_S)
    assert said[0][1] == Ping("w")
    assert isinstance(said[-1][1], WorkerHangs)


def test_a_suspect_that_is_given_a_task_is_watched_over_as_any_other():
    outstanding = OutstandingAssignments()
    outstanding.suspect(0.0, "w")
    outstanding.add(0.1, 1, "w")
    assert outstanding.check(0.2) == [Ping("w")]
    outstanding.mark_alive(0.3, "w")
    assert outstanding
    assert outstanding.check(0.3) == []
    assert outstanding.check(0.4 + INTERVAL_S) == [Ping("w")]
    outstanding.settle(1)
    assert not outstanding
