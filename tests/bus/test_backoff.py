import math

import pytest

from bus.backoff import Backoff


@pytest.mark.parametrize(
    ("backoff", "delays"),
    [
        (Backoff(0.5, 10), [0.5, 1, 2, 4, 8, 10, 10]),
        (Backoff(1, 60, 3), [1, 3, 9, 27, 60]),
        (Backoff(2, 2), [2, 2, 2]),
        (Backoff(1, 100, 1), [1, 1, 1]),
    ],
)
def test_delays_grow_by_the_factor_up_to_the_limit(backoff, delays):
    assert [backoff.delay_s(attempt) for attempt in range(1, len(delays) + 1)] == delays


def test_an_attempt_beyond_counting_is_still_a_delay():
    assert Backoff(0.1, 30).delay_s(10**9) == 30


def test_attempts_are_counted_from_one():
    with pytest.raises(ValueError, match="counted from 1"):
        Backoff(1, 2).delay_s(0)


@pytest.mark.parametrize("values", [(0, 1), (-1, 1), (2, 1), (1, 2, 0.5), (math.nan, 1)])
def test_values_that_are_no_backoff_are_refused(values):
    with pytest.raises(ValueError, match="a backoff needs"):
        Backoff(*values)
