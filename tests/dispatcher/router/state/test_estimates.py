"""Estimates stay finite and right however long nothing happens."""

import pytest

from dispatcher.router.state.estimates import DecayClock, MeanDuration


@pytest.mark.parametrize("idle_s", [0.0, 60.0, 3600.0, 86_400.0, 1e7])
def test_a_rate_fades_while_nothing_arrives_and_never_fails(idle_s):
    clock = DecayClock(0.0, 30.0, 2.0)
    weight = sum(clock.weight(number / 10) for number in range(1000))
    assert weight * clock.scale(100.0) == pytest.approx(10.0, rel=0.1)
    faded = weight * clock.scale(100.0 + idle_s)
    assert 0.0 <= faded <= 10.5
    if idle_s >= 3600.0:
        assert faded < 1e-9


def test_after_a_rebase_the_rate_is_the_same():
    clock = DecayClock(0.0, 30.0, 2.0)
    weight = sum(clock.weight(number / 10) for number in range(1000))
    before = weight * clock.scale(100.0)
    assert weight * clock.rebase(100.0) * clock.scale(100.0) == pytest.approx(before)


def test_the_first_measurements_weigh_more_than_the_prior():
    mean = MeanDuration(1.0, 0.1)
    for _ in range(3):
        mean.observe(5.0)
    assert mean.mean == pytest.approx(5.0)
