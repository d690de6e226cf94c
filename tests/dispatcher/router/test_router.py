"""Behaviour of the router, case by case: one event after another on a small pool."""

import random

import pytest

from bus.errors import ConflictError
from dispatcher.router import (
    Aging,
    Assign,
    Limits,
    Outcome,
    Reason,
    Reject,
    Retries,
    Route,
    Router,
    RouterPolicy,
    TaskSpec,
    WorkerView,
)


def router(*views, **policy):
    made: Router[None] = Router(RouterPolicy(**policy), rng=random.Random(1))
    for view in views:
        assert made.worker_seen(0.0, view) == []
    return made


def worker(worker_id, *labels, **fields):
    return WorkerView(worker_id=worker_id, labels=labels, **{"capacity": 2, "task_types": ("t",), **fields})


def task(task_id, label="a", **fields):
    return TaskSpec(task_id=task_id, label=label, **{"task_type": "t", "item": None, **fields})


def done(*, hit=True, **fields):
    return Outcome(ok=True, label_hit=hit, load_ms=0.0 if hit else 400.0, run_ms=50.0, **fields)


def sent(commands):
    return [(c.task.task_id, c.worker_id, c.route) for c in commands if isinstance(c, Assign)]


def test_a_label_is_loaded_beside_the_work_of_a_worker_with_a_window():
    made = router(worker("w", "a", window=1, capacity=3))
    assert sent(made.submit(0.0, task("1"))) == [("1", "w", Route.HIT)]
    assert sent(made.submit(0.0, task("2", "b"))) == [("2", "w", Route.LOAD)]
    assert made.submit(0.0, task("3")) == []
    assert sent(made.finished(0.1, 1, done()).commands) == [("3", "w", Route.WAIT)]


@pytest.mark.parametrize(("run_ms", "ahead"), [(1.0, [("4", "w", Route.WAIT)]), (50.0, [])])
def test_short_tasks_follow_each_other_without_waiting_for_answers(run_ms, ahead):
    made = router(worker("w", "a", window=1))
    for number in "1234":
        made.submit(0.0, task(number))
    answer = Outcome(ok=True, label_hit=True, load_ms=0.0, run_ms=run_ms)
    first = sent(made.finished(0.001, 1, answer).commands)
    assert first[0] == ("2", "w", Route.WAIT)
    second = first[1:] + sent(made.finished(0.002, 2, answer).commands)
    assert second[0] == ("3", "w", Route.WAIT)
    assert second[1:] == ahead


def test_a_load_gives_way_to_what_other_dispatchers_hold_at_the_worker():
    made = router(worker("w", "a", capacity=3, epoch_ms=1, revision=1))
    made.submit(0.0, task("1"))
    assert made.bounced(0.1, 1, no_responders=False, view=worker("w", "a", capacity=3, epoch_ms=1, revision=2)) == []
    made.submit(0.11, task("2", "b"))
    made.cancel(0.11, "1")
    assert made.worker_seen(0.12, worker("w", "a", capacity=3, running=0, epoch_ms=1, revision=4)) == []
    wake = made.next_wake()
    assert wake is not None
    assert 0.12 < wake < 0.13
    assert sent(made.tick(wake)) == [("2", "w", Route.LOAD)]


def test_with_no_worker_known_the_queue_group_chooses():
    assert sent(router().submit(0.0, task("1"))) == [("1", None, Route.ANY)]


def test_when_nobody_listens_the_task_is_rejected_at_once():
    made = router()
    made.submit(0.0, task("1"))
    [reject] = made.bounced(0.0, 1, no_responders=True)
    assert isinstance(reject, Reject)
    assert reject.reason is Reason.NO_WORKER


def test_when_the_queue_group_is_empty_but_workers_live_the_task_waits_for_them():
    made = router()
    made.submit(0.0, task("1"))
    made.worker_seen(0.1, worker("w", "a", running=1))
    assert made.bounced(0.2, 1, no_responders=True) == []
    assert made.waiting == 1
    assert sent(made.worker_seen(0.3, worker("w", "a", running=0, revision=1))) == [("1", "w", Route.WAIT)]


def test_a_free_holder_goes_before_an_empty_worker():
    made = router(worker("empty"), worker("holder", "a"))
    assert sent(made.submit(0.0, task("1"))) == [("1", "holder", Route.HIT)]


def test_a_task_waits_for_a_busy_holder_rather_than_load_again():
    made = router(worker("holder", "a"), worker("empty"))
    made.submit(0.0, task("1"))
    assert made.submit(0.0, task("2")) == []
    assert sent(made.finished(0.05, 1, done()).commands) == [("2", "holder", Route.WAIT)]


def test_a_label_is_copied_when_its_queue_takes_longer_than_a_load():
    made = router(worker("holder", "a"), worker("empty"))
    routes = [route for n in range(200) for _, _, route in sent(made.submit(0.0, task(str(n))))]
    assert routes == [Route.HIT, Route.COPY]


def test_the_label_of_least_worth_is_proposed_for_eviction():
    made = router(worker("w", "hot", "cold"))
    for n in range(20):
        made.submit(n * 0.1, task(f"h{n}", "hot"))
        made.finished(n * 0.1 + 0.05, n + 1, done())
    # Loading would hold up the hot label's tasks: it pays only when the new task has waited for a while.
    assert made.submit(3.0, task("new", "new")) == []
    wake = made.next_wake()
    assert wake is not None
    [assign] = made.tick(wake)
    assert isinstance(assign, Assign)
    assert (assign.route, assign.evict_label) == (Route.LOAD, "cold")


def test_a_worker_that_refuses_the_proposal_is_believed():
    made = router(worker("w", "x", "y"))
    [assign] = made.submit(0.0, task("1", "new"))
    assert isinstance(assign, Assign)
    kept = assign.evict_label
    other = "x" if kept == "y" else "y"
    made.finished(
        1.0, assign.assignment_id, done(hit=False, evicted_label=other, view=worker("w", "new", kept, revision=1))
    )
    assert made.held() == {"new": ["w"], kept: ["w"]}


@pytest.mark.parametrize(("slots", "at_once"), [(1, 1), (2, 2), (3, 3)])
def test_a_worker_gets_as_many_tasks_as_it_has_slots(slots, at_once):
    made = router(worker("w", "a", slots=slots))
    assert len([c for n in range(5) for c in sent(made.submit(0.0, task(str(n))))]) == at_once


def test_a_busy_answer_puts_the_task_back_before_those_that_came_after_it():
    made = router(worker("w", "a"))
    made.submit(0.0, task("1"))
    made.submit(0.1, task("2"))
    assert made.bounced(0.2, 1, no_responders=False, view=worker("w", "a", running=1, revision=1)) == []
    assert made.waiting == 2
    [(task_id, _, _)] = sent(made.worker_seen(0.3, worker("w", "a", running=0, revision=2)))
    assert task_id == "1"


def test_a_worker_that_never_speaks_again_after_busy_is_tried_again():
    made = router(worker("w", "a"))
    made.submit(0.0, task("1"))
    made.bounced(0.0, 1, no_responders=False)
    wake = made.next_wake()
    assert wake is not None
    assert sent(made.tick(wake)) == [("1", "w", Route.WAIT)]


def test_the_tasks_of_a_dead_worker_run_elsewhere():
    made = router(worker("w1", "a"), worker("w2"))
    made.submit(0.0, task("1"))
    assert sent(made.worker_gone(1.0, "w1")) == [("1", "w2", Route.LOAD)]


@pytest.mark.parametrize(("retry", "lives"), [(False, 1), (True, 2)])
def test_a_task_that_lost_its_workers_is_given_up_with_their_names(retry, lives):
    made = router(*(worker(f"w{n}", "a") for n in range(4)))
    commands = made.submit(0.0, task("1", retry=retry))
    lost = []
    for n in range(lives):
        [assign] = commands
        assert isinstance(assign, Assign)
        lost.append(assign.worker_id)
        commands = made.worker_gone(float(n), assign.worker_id)
    [reject] = commands
    assert isinstance(reject, Reject)
    assert reject.reason is Reason.GAVE_UP
    assert reject.worker_ids == tuple(lost)


def test_a_task_lost_on_the_way_is_sent_again_as_another_attempt_and_its_worker_stays():
    made = router(worker("w", "a"))
    made.submit(0.0, task("1"))
    [again] = made.lost(1.0, 1, "w")
    assert isinstance(again, Assign)
    assert (again.worker_id, again.attempt) == ("w", 2)
    assert made.lost(1.0, 1, "w") == [], "the old assignment is known no more"
    assert made.finished(2.0, again.assignment_id, done()).answer


def test_a_task_lost_on_the_way_that_may_not_be_run_twice_is_given_up_and_its_slot_is_free():
    made = router(worker("w", "a"))
    made.submit(0.0, task("1", retry=False))
    [reject] = made.lost(1.0, 1, "w")
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.worker_ids) == (Reason.GAVE_UP, ("w",))
    assert sent(made.submit(1.0, task("2"))) == [("2", "w", Route.HIT)]


def test_what_the_queue_group_lost_is_sent_again():
    made = router()
    made.submit(0.0, task("1"))
    assert sent(made.lost(1.0, 1, "")) == [("1", None, Route.ANY)]


@pytest.mark.parametrize(("retry", "outcome"), [(True, "sent"), (False, "given up")])
def test_what_was_sent_after_a_task_that_nobody_took_was_not_taken_either(retry, outcome):
    made = router(worker("w1", "a", slots=3), worker("w2"))
    for number in "123":
        made.submit(0.0, task(number, retry=number != "3" or retry))
    commands = made.bounced(0.1, 2, no_responders=True)
    # The first was taken by a process that is gone, and counts as lost; the others nobody ever had.
    attempts = {c.task.task_id: c.attempt for c in commands if isinstance(c, Assign)}
    given_up = [c.task.task_id for c in commands if isinstance(c, Reject)]
    assert given_up == ([] if outcome == "sent" else ["3"])
    for _ in range(2):
        commands = made.finished(1.0, made._state._last_id, done()).commands
        attempts |= {c.task.task_id: c.attempt for c in commands if isinstance(c, Assign)}
    assert attempts == {"1": 2, "2": 1} | ({"3": 1} if retry else {})


def test_a_retryable_failure_is_tried_on_another_worker_and_not_answered():
    made = router(worker("w1", "a"), worker("w2"))
    made.submit(0.0, task("1"))
    failure = Outcome(ok=False, label_hit=True, load_ms=0, run_ms=0, retryable=True)
    result = made.finished(0.1, 1, failure)
    assert (result.requeued, result.answer) == (True, False)
    [again] = result.commands
    assert isinstance(again, Assign)
    assert (again.worker_id, again.attempt) == ("w2", 2)


def test_the_last_attempt_is_the_answer():
    made = router(worker("w1", "a"), retries=Retries(max_attempts=2))
    made.submit(0.0, task("1"))
    failure = Outcome(ok=False, label_hit=True, load_ms=0, run_ms=0, retryable=True)
    assert made.finished(0.1, 1, failure).requeued
    wake = made.next_wake()
    assert wake is not None
    [again] = made.tick(wake)
    assert isinstance(again, Assign)
    assert made.finished(wake + 1, again.assignment_id, failure).answer


def test_a_late_result_is_no_answer():
    made = router(worker("w1", "a"), worker("w2", "a"))
    made.submit(0.0, task("1"))
    made.worker_gone(0.1, "w1")
    assert not made.finished(0.2, 1, done()).answer


def test_a_cancelled_task_that_waits_is_dropped_and_one_that_runs_keeps_its_slot():
    made = router(worker("w", "a"))
    made.submit(0.0, task("1"))
    made.submit(0.0, task("2"))
    assert made.cancel(0.1, "2") == []
    assert made.cancel(0.1, "1") == []
    assert made.waiting == 0
    assert made.submit(0.2, task("3")) == []
    result = made.finished(0.3, 1, done())
    assert result.cancelled
    assert not result.answer
    assert sent(result.commands) == [("3", "w", Route.WAIT)]


def test_a_task_whose_deadline_passes_while_it_waits_is_rejected_then():
    made = router(worker("w", "a"))
    made.submit(0.0, task("1"))
    made.submit(0.0, task("2", deadline=1.5))
    assert made.next_wake() == 1.5
    [reject] = made.tick(1.5)
    assert isinstance(reject, Reject)
    assert (reject.task.task_id, reject.reason) == ("2", Reason.DEADLINE)


def test_a_type_that_nobody_runs_is_rejected_unless_the_registry_is_away():
    made = router(worker("w", "a"))
    [reject] = made.submit(0.0, task("1", task_type="other"))
    assert isinstance(reject, Reject)
    assert reject.reason is Reason.UNKNOWN_TASK_TYPE
    made.registry_lost(0.1)
    assert sent(made.submit(0.2, task("2", task_type="other"))) == [("2", None, Route.ANY)]


def test_a_type_that_one_worker_runs_goes_there_even_if_another_holds_the_label():
    made = router(worker("w1", "a"), worker("w2", task_types=("t", "own")))
    made.submit(0.0, task("1", "b", task_type="own"))
    assert made.running == 1
    assert made.submit(0.1, task("2", task_type="own")) == []
    assert sent(made.finished(0.2, 1, done(hit=False)).commands) == [("2", "w2", Route.COPY)]


@pytest.mark.parametrize(
    ("limit", "message"), [({"max_waiting": 2}, "2 tasks"), ({"max_waiting_per_label": 2}, "for a")]
)
def test_a_full_queue_says_when_to_try_again(limit, message):
    made = router(worker("w", "a"), limits=Limits(**limit))
    commands = [c for n in range(4) for c in made.submit(0.0, task(str(n)))]
    reject = commands[-1]
    assert isinstance(reject, Reject)
    assert reject.reason is Reason.QUEUE_FULL
    assert reject.retry_after_s > 0
    assert message in reject.message


def test_an_id_in_use_is_a_conflict():
    made = router()
    made.submit(0.0, task("1"))
    with pytest.raises(ConflictError):
        made.submit(0.0, task("1"))


def test_a_draining_worker_gets_nothing_and_its_label_is_loaded_elsewhere():
    made = router(worker("w1", "a"), worker("w2"))
    made.worker_seen(0.1, worker("w1", "a", draining=True, revision=1))
    assert sent(made.submit(0.2, task("1"))) == [("1", "w2", Route.LOAD)]


def test_a_view_older_than_the_last_is_ignored():
    made = router(worker("w", "a", epoch_ms=5, revision=7))
    made.worker_seen(0.1, worker("w", "b", epoch_ms=5, revision=6))
    made.worker_seen(0.1, worker("w", "b", epoch_ms=4, revision=9))
    assert made.held() == {"a": ["w"]}


def test_a_label_that_waits_beyond_the_age_limit_goes_before_hits():
    made = router(worker("w", "hot", capacity=1), aging=Aging(limit_loads=1.0, limit_drains=0.0))
    made.submit(0.0, task("0", "hot"))
    made.submit(0.0, task("rare", "rare"))
    assignment_id, now = 1, 0.0
    for n in range(1, 60):
        now = n * 0.05
        made.submit(now, task(str(n), "hot"))
        [(task_id, _, route)] = sent(made.finished(now, assignment_id, done()).commands)
        assignment_id += 1
        if task_id == "rare":
            assert route is Route.LOAD
            break
    assert 1.0 <= now < 1.2


def test_a_label_that_is_always_in_use_on_a_worker_with_more_slots_than_labels_makes_room_at_the_age_limit():
    made = router(worker("w", "hot", capacity=1, slots=2), aging=Aging(limit_loads=1.0, limit_drains=0.0))
    for number in range(3):
        made.submit(0.0, task(str(number), "hot"))
    made.submit(0.0, task("rare", "rare"))
    for number in range(3, 60):
        now = number * 0.05
        made.submit(now, task(str(number), "hot"))
        [command] = made.finished(now, number - 2, done()).commands
        assert isinstance(command, Assign)
        if command.task.task_id == "rare":
            assert (command.route, command.evict_label) == (Route.LOAD, "hot")
            break
    else:
        raise AssertionError("the rare label was never loaded")
    assert 1.0 <= now < 1.3


def test_random_mode_sends_no_more_than_there_are_slots():
    made = router(worker("w1", "a"), worker("w2"), mode="random")
    assert sent([c for n in range(3) for c in made.submit(0.0, task(str(n)))]) == [
        ("0", None, Route.ANY),
        ("1", None, Route.ANY),
    ]
    assert sent(made.finished(0.1, 1, done(worker_id="w1")).commands) == [("2", None, Route.ANY)]


def test_a_worker_shared_with_other_dispatchers_is_left_to_them_now_and_then():
    made = router(worker("w", "a"), worker("other", "b", running=1))
    for n in range(40):
        made.submit(0.0, task(str(n)))
    assignment_id, now = 1, 0.0
    while sent(made.finished(now, assignment_id, done(view=worker("w", "a", revision=assignment_id))).commands):
        assignment_id += 1
        now += 0.05
    assert 0.25 <= now <= 0.4
    assert "w" in {worker_id for _, worker_id, _ in sent(made.tick(now + 0.01))}
