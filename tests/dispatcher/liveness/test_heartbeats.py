"""Pings of workers whose heartbeat is overdue."""

import itertools

from bus.registration import DEFAULT_HEARTBEAT_S, TTL_HEARTBEATS
from dispatcher.liveness.heartbeats import CHECK_INTERVAL_S, FIRST_PING_S, MOST_AT_ONCE, Heartbeats

LONG_S = 60.0


def overdue_at(heartbeats, known, end, begin=0.0):
    """Return the times and workers of the pings, with a look every interval."""
    looks = int((end - begin) / CHECK_INTERVAL_S) + 1
    times = [begin + n * CHECK_INTERVAL_S for n in range(looks)]
    return [(now, worker) for now in times for worker in heartbeats.take_overdue(now, known)]


def test_a_worker_that_writes_in_time_is_never_pinged():
    heartbeats = Heartbeats()
    for second in range(100):
        heartbeats.record(float(second), "w", 2.0)
        assert heartbeats.take_overdue(second + 0.5, ["w"]) == []


def test_a_new_worker_is_pinged_soon_since_its_entry_may_be_a_leftover_and_then_after_three_heartbeats():
    heartbeats = Heartbeats()
    heartbeats.record(0.0, "w", LONG_S)
    times = [now for now, _ in overdue_at(heartbeats, ["w"], 4 * TTL_HEARTBEATS * LONG_S)]
    assert times[0] == FIRST_PING_S
    assert {later - earlier for earlier, later in itertools.pairwise(times)} == {TTL_HEARTBEATS * LONG_S}


def test_a_worker_that_writes_no_more_is_pinged_three_of_its_own_heartbeats_later():
    heartbeats = Heartbeats()
    for now in (0.0, 5.0):
        heartbeats.record(now, "w", 5.0)
    assert heartbeats.take_overdue(5.0 + 3 * 5.0 - 0.1, ["w"]) == []
    assert heartbeats.take_overdue(5.0 + 3 * 5.0, ["w"]) == ["w"]


def test_where_no_heartbeat_is_told_it_is_taken_to_be_the_default():
    heartbeats = Heartbeats()
    heartbeats.record(0.0, "w")
    heartbeats.record(0.0, "w")
    period_s = TTL_HEARTBEATS * DEFAULT_HEARTBEAT_S
    assert heartbeats.take_overdue(period_s - 0.1, ["w", "of a state"]) == []
    assert heartbeats.take_overdue(period_s, ["w", "of a state"]) == ["w"]
    assert heartbeats.take_overdue(2 * period_s, ["of a state"]) == ["of a state"]


def test_a_worker_that_is_not_known_any_more_is_forgotten():
    heartbeats = Heartbeats()
    heartbeats.record(0.0, "w", 1.0)
    assert heartbeats.take_overdue(10.0, []) == []
    heartbeats.record(11.0, "w", LONG_S)
    assert heartbeats.take_overdue(11.0 + FIRST_PING_S, ["w"]) == ["w"], "it is new again"


def test_in_a_large_pool_not_all_are_pinged_at_once():
    heartbeats = Heartbeats()
    known = [f"w{n}" for n in range(2 * MOST_AT_ONCE + 1)]
    for worker in known:
        heartbeats.record(0.0, worker, LONG_S)
    looks = [heartbeats.take_overdue(now, known) for now in (1.0, 2.0, 3.0, 4.0)]
    assert [len(look) for look in looks] == [MOST_AT_ONCE, MOST_AT_ONCE, 1, 0]
    assert sorted(itertools.chain(*looks)) == sorted(known)


def test_looks_are_due_a_second_apart():
    heartbeats = Heartbeats()
    assert heartbeats.is_check_due(100.0)
    heartbeats.take_overdue(100.0, [])
    assert not heartbeats.is_check_due(100.0 + CHECK_INTERVAL_S / 2)
    assert heartbeats.is_check_due(100.0 + CHECK_INTERVAL_S)
