"""Run times of passes: what is learnt of a + b·n, and how many tasks should share a run."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.pass_times import UNKNOWN_LIMIT, PassTimes, PooledShare, best_size, tasks_per_place

SIZES = st.lists(st.integers(1, 64), max_size=40).map(lambda sizes: [*sizes, 1, 3, 8, 1])


@given(st.floats(0.0, 0.1), st.floats(0.0001, 0.1), SIZES)
def test_the_law_is_found_from_runs_of_several_sizes(fixed_s: float, unit_s: float, sizes: list[int]) -> None:
    times = PassTimes()
    for size in sizes:
        times.observe(size, fixed_s + unit_s * size)
    assert times.fixed_s == pytest.approx(fixed_s, rel=0.02, abs=1e-6)
    assert times.unit_s == pytest.approx(unit_s, rel=0.02, abs=1e-6)
    assert times.single_s == pytest.approx(fixed_s + unit_s, rel=0.02)


@given(st.floats(0.0, 0.1), st.floats(1e-6, 1e-3))
def test_the_law_of_sizes_that_are_all_large_is_found_relative_to_them(fixed_s: float, unit_s: float) -> None:
    absolute, relative = PassTimes(), PassTimes(relative=True)
    for size in (400, 900, 16_000) * 3:
        absolute.observe(size, fixed_s + unit_s * size)
        relative.observe(size, fixed_s + unit_s * size)
    assert math.isnan(absolute.fixed_share)
    assert relative.fixed_s == pytest.approx(fixed_s, rel=0.02, abs=1e-6)
    assert relative.unit_s == pytest.approx(unit_s, rel=0.02, abs=1e-9)


def test_nothing_is_known_before_the_first_run() -> None:
    times = PassTimes()
    assert not times.is_seen
    assert times.single_s == times.fixed_s == times.unit_s == 0.0
    assert math.isnan(times.fixed_share)


def test_runs_of_one_size_tell_the_time_of_that_size_and_not_its_parts() -> None:
    times = PassTimes()
    for _ in range(100):
        times.observe(1, 0.02)
    assert times.is_seen
    assert times.single_s == pytest.approx(0.02)
    assert math.isnan(times.fixed_share)


def test_the_parts_known_once_are_kept_while_runs_are_alike() -> None:
    times = PassTimes()
    for size in (1, 8, 1, 8):
        times.observe(size, 0.008 + 0.002 * size)
    for seconds in (*[0.01] * 100, *[0.02] * 150):  # then the model becomes twice as slow
        times.observe(1, seconds)
    assert times.fixed_share == pytest.approx(0.8)
    assert times.single_s == pytest.approx(0.02, rel=0.01)


def test_a_law_that_a_slow_first_run_made_wrong_is_forgotten_and_learnt_again() -> None:
    times = PassTimes(PooledShare())
    times.observe(4, 0.030)
    times.observe(1, 0.0082)
    assert times.fixed_share < 0.5
    runs = 0
    while not math.isnan(times.fixed_share):
        times.observe(1, 0.0082)
        runs += 1
    assert runs < 400
    for size in (4, 1):
        times.observe(size, 0.008 + 0.0002 * size)
    assert times.fixed_share > 0.9


def test_a_label_without_passes_of_its_own_takes_the_parts_of_others() -> None:
    pool = PooledShare()
    others = PassTimes(pool)
    for size in (1, 8, 1, 8):
        others.observe(size, 0.008 + 0.002 * size)
    times = PassTimes(pool)
    times.observe(4, 0.32)
    assert times.fixed_share == pytest.approx(0.8)
    assert times.single_s == pytest.approx(0.2)


@given(st.lists(st.tuples(st.integers(1, 1000), st.floats(0.0, 10.0)), max_size=60))
def test_no_run_makes_a_law_that_is_none(runs: list[tuple[int, float]]) -> None:
    times = PassTimes()
    for size, seconds in runs:
        times.observe(size, seconds)
    assert math.isfinite(times.single_s)
    assert times.fixed_s >= 0.0
    assert times.unit_s >= -1e-12
    assert math.isnan(times.fixed_share) or 0.0 <= times.fixed_share <= 1.0


@given(st.integers(0, 10_000), st.floats(0.0, 1.0) | st.just(math.nan), st.integers(1, 1024))
def test_a_pass_has_at_least_one_task_and_at_most_what_is_allowed(waiting: int, share: float, most: int) -> None:
    size = best_size(waiting, share, most)
    assert 1 <= size <= max(1, min(waiting, most))
    assert 1 <= tasks_per_place(share, most) <= 2 * most


@pytest.mark.parametrize(
    ("waiting", "fixed_s", "unit_s", "size"),
    [
        (64, 0.008, 0.0002, 64),  # a GPU: all that wait
        (100, 0.0, 0.02, 1),  # nothing is gained: one at a time
        (3, 0.001, 0.02, 1),
        (64, 0.01, 0.01, 16),
        (2, 0.01, 0.01, 2),
        (1000, 0.008, 0.0002, 64),
    ],
)
def test_as_many_share_a_run_as_pays(waiting: int, fixed_s: float, unit_s: float, size: int) -> None:
    assert best_size(waiting, fixed_s / (fixed_s + unit_s), 64) == size


def test_few_share_a_run_while_nothing_is_known() -> None:
    assert best_size(64, math.nan, 64) == UNKNOWN_LIMIT
    assert tasks_per_place(math.nan, 64) == 2 * UNKNOWN_LIMIT


@pytest.mark.parametrize(("share", "most", "tasks"), [(0.2, 64, 1), (0.9, 64, 96), (0.99, 64, 128), (0.99, 1, 1)])
def test_two_passes_take_a_place_where_sharing_pays(share: float, most: int, tasks: int) -> None:
    assert tasks_per_place(share, most) == tasks
