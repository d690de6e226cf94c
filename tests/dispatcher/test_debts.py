import itertools

import pytest

from bus.names import ANY_WORKER
from dispatcher.debts import AUDIT_S, INTERVAL_S, SILENCE_S, Ask, Debts, Hangs, Lost


def rounds(debts: Debts, begin: float, end: float) -> list[tuple[float, object]]:
    """What the rounds between two times say, with the time."""
    times = [begin + n * INTERVAL_S for n in range(1, int((end - begin) / INTERVAL_S) + 1)]
    return [(now, item) for now in times for item in debts.round(now)]


def test_who_owes_nothing_is_left_alone():
    debts = Debts()
    debts.sent(0.0, 1, "w")
    debts.settled(1)
    assert not debts
    assert rounds(debts, 0.0, 20.0) == []


def test_who_owes_and_is_silent_is_asked_and_then_hangs():
    debts = Debts()
    debts.sent(0.0, 1, "w")
    said = rounds(debts, 0.0, SILENCE_S + 2 * INTERVAL_S)
    assert said[0] == (INTERVAL_S, Ask("w"))
    now, last = said[-1]
    assert isinstance(last, Hangs)
    assert SILENCE_S < now <= SILENCE_S + INTERVAL_S + 1e-6


def test_who_is_heard_of_does_not_hang_but_is_audited_when_it_owes_for_long():
    debts = Debts()
    debts.sent(0.0, 1, "w")
    asked = []
    for n in range(1, 40):
        now = n * INTERVAL_S
        debts.heard(now - 0.1, "w")
        asked += [now for item in debts.round(now) if item == Ask("w")]
        assert not any(isinstance(item, Hangs) for item in debts.round(now))
    assert asked[0] >= AUDIT_S
    assert all(later - earlier >= AUDIT_S - 1e-6 for earlier, later in itertools.pairwise(asked))


def test_what_is_missing_from_two_answers_is_lost_and_only_once():
    debts = Debts()
    debts.sent(0.0, 1, "w")
    debts.sent(0.0, 2, "w")
    assert debts.told(1.0, "w", 0.9, {2}) == []
    assert debts.round(1.0 + INTERVAL_S / 2) == [Ask("w")], "a miss is looked into at once"
    assert debts.told(2.0, "w", 1.9, {2}) == [Lost(token=1, worker_id="w")]
    assert debts.told(3.0, "w", 2.9, {2}) == []
    debts.settled(1)  # its result after all
    debts.settled(2)
    assert not debts


def test_answers_that_come_together_count_as_one():
    debts = Debts()
    debts.sent(0.0, 1, "w")
    for asked_at in (0.4, 0.8, 1.2, 1.6):
        assert debts.told(8.0, "w", asked_at, set()) == []
    assert debts.told(8.0 + INTERVAL_S, "w", 8.1, {1}) == []
    assert debts.told(9.0, "w", 8.9, set()) == []


def test_a_task_named_again_after_a_miss_is_not_lost():
    debts = Debts()
    debts.sent(0.0, 1, "w")
    for now, owed in ((1.0, set()), (2.0, {1}), (3.0, set())):
        assert debts.told(now, "w", now - 0.1, owed) == []


def test_what_was_sent_after_the_asking_is_not_missed():
    debts = Debts()
    debts.sent(1.0, 1, "w")
    for now in (1.1, 1.2, 1.3):
        assert debts.told(now, "w", 0.9, set()) == []


def test_all_are_asked_for_tasks_of_the_queue_group_and_who_names_one_owes_it():
    debts = Debts()
    debts.sent(0.0, 1, ANY_WORKER)
    assert debts.round(INTERVAL_S) == [Ask(ANY_WORKER)]
    assert debts.told(0.5, "w", 0.4, {1, 99}) == []
    assert debts.told(0.5, "x", 0.4, set()) == []
    said = rounds(debts, 0.5, 0.5 + SILENCE_S + 2 * INTERVAL_S)
    assert {type(item) for _, item in said} == {Ask, Hangs}
    assert debts.gone("w") == [Lost(token=1, worker_id="w")], "the router does not know that it was with this worker"
    assert not debts


def test_a_task_of_the_queue_group_that_nobody_names_is_lost():
    debts = Debts()
    debts.sent(0.0, 1, ANY_WORKER)
    said = rounds(debts, 0.0, 2 * SILENCE_S)
    lost = [(now, item) for now, item in said if isinstance(item, Lost)]
    assert [item for _, item in lost] == [Lost(token=1, worker_id="")]
    assert lost[0][0] > SILENCE_S
    assert not debts


def test_those_sent_to_a_worker_that_is_gone_are_not_named_since_the_router_knows_them():
    debts = Debts()
    debts.sent(0.0, 1, "w")
    assert debts.gone("w") == []
    assert debts.gone("w") == []
    assert not debts


@pytest.mark.parametrize("worker", ["w", ANY_WORKER])
def test_silence_does_not_count_while_nobody_can_be_heard(worker):
    debts = Debts()
    debts.sent(0.0, 1, worker)
    for n in range(1, 60):
        now = n * INTERVAL_S
        debts.excuse(now)
        assert {type(item) for item in debts.round(now)} <= {Ask}
    said = rounds(debts, now, now + SILENCE_S + 2 * INTERVAL_S)
    assert any(isinstance(item, Hangs | Lost) for _, item in said)
