"""Deadlines across clocks that disagree."""

import hypothesis.strategies as st
from hypothesis import given

from bus.clock import UnixClock
from worker.clock import FORGET_MS, MAX_SENDERS, SenderClocks

T0 = 1_700_000_000_000
SKEWS = st.integers(-3_600_000, 3_600_000)


def message(clocks: SenderClocks, *, at: int, skew: int = 0, passage: int = 1, lasts: int = 1000) -> float:
    """Return how long a task sent at `at` (true time) has left on arrival, by a worker whose clock is `skew` ahead."""
    arrives = T0 + at + passage + skew
    return clocks.deadline_here("s", deadline_ms=T0 + at + lasts, sent_ms=T0 + at, now_ms=arrives) - arrives


@given(skew=SKEWS, passages=st.lists(st.integers(0, 50), min_size=1))
def test_a_clock_that_is_off_changes_no_deadline(skew, passages):
    clocks = SenderClocks()
    for number, passage in enumerate(passages):
        left = message(clocks, at=number * 100, skew=skew, passage=passage)
        assert 1000 - 50 <= left <= 1000, "off by no more than the time that messages take"


@given(skew=SKEWS, held_up=st.integers(2_000, FORGET_MS - 1_000), quick=st.integers(0, 50))
def test_a_message_that_was_held_up_is_late_once_one_was_not(skew, held_up, quick):
    clocks = SenderClocks()
    message(clocks, at=0, skew=skew, passage=quick)
    left = message(clocks, at=500, skew=skew, passage=held_up)
    assert left <= 1000 + quick - held_up
    assert left < 0


@given(skew=SKEWS, step=SKEWS)
def test_a_clock_that_is_set_is_believed_again_after_two_minutes(skew, step):
    clocks = SenderClocks()
    message(clocks, at=0, skew=skew)
    for at in range(1_000, 2 * FORGET_MS + 2_000, 500):
        left = message(clocks, at=at, skew=skew + step)
    assert left == 1000


@given(st.sampled_from([-0.0005, 0.0005]))
def test_drift_is_followed_while_messages_come(rate):
    clocks = SenderClocks()
    for second in range(0, 3600, 5):
        left = message(clocks, at=second * 1000, skew=round(second * 1000 * rate))
        assert abs(left - 1000) <= 2 * FORGET_MS * 0.0005 + 2


def test_a_sender_that_was_silent_for_long_begins_again():
    clocks = SenderClocks()
    message(clocks, at=0, skew=-60_000)
    assert message(clocks, at=10 * FORGET_MS, skew=60_000) == 1000


def test_senders_have_clocks_of_their_own_and_only_so_many_are_remembered():
    clocks = SenderClocks()
    for number in range(3 * MAX_SENDERS):
        assert clocks.deadline_here(f"s{number}", deadline_ms=2_000, sent_ms=1_000 - number, now_ms=1_000) == (
            2_000 + number
        )
    assert len(clocks._senders) == MAX_SENDERS


def test_without_a_time_of_sending_the_clocks_are_taken_to_agree():
    assert SenderClocks().deadline_here("s", deadline_ms=5, sent_ms=0, now_ms=9) == 5


def test_one_clock_never_goes_back(monkeypatch):
    clock = UnixClock()
    first = clock.now_ms()
    monkeypatch.setattr("time.time_ns", lambda: 0)
    assert clock.now_ms() >= first
