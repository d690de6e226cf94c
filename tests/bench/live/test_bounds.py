import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.live.arrivals import draw
from bench.live.bounds import bounds, clairvoyant_misses, online_misses
from bench.popularity import zipf

ARRIVALS = st.lists(st.integers(0, 6), max_size=60)
ROOM = st.integers(1, 7)


def test_five_equal_labels_with_room_for_four_are_expected_to_miss_483_times_in_2400():
    arrivals = draw(random.Random(1), zipf(5, 0.0), 2400)
    assert bounds(arrivals, zipf(5, 0.0), 4).expected == pytest.approx(483, abs=6)


@pytest.mark.parametrize(
    ("arrivals", "room", "misses"),
    [
        ([], 1, 0),
        ([0, 0, 0], 1, 1),
        ([0, 1, 0, 1], 1, 4),
        ([0, 1, 0, 1], 2, 2),
        ([0, 1, 2, 0, 1, 3, 0, 1], 2, 6),  # of 0 and 1, the one that is wanted sooner stays
        ([0, 1, 2, 3, 0, 1, 2, 3], 3, 5),
    ],
)
def test_who_knows_the_future_misses_so_often(arrivals, room, misses):
    assert clairvoyant_misses(arrivals, room) == misses


@given(ARRIVALS, ROOM)
def test_with_room_for_all_each_label_is_missed_once(arrivals, room):
    if room >= len(set(arrivals)):
        assert clairvoyant_misses(arrivals, room) == len(set(arrivals))
        assert online_misses(arrivals, zipf(7, 0.0), room, random.Random(0)) == len(set(arrivals))


@given(ARRIVALS, ROOM, st.floats(0, 2))
def test_nobody_beats_who_knows_the_future(arrivals, room, exponent):
    least = clairvoyant_misses(arrivals, room)
    assert len(set(arrivals)) <= least <= online_misses(arrivals, zipf(7, exponent), room, random.Random(0))


@given(ARRIVALS, ROOM)
def test_more_room_never_costs_who_knows_the_future(arrivals, room):
    assert clairvoyant_misses(arrivals, room + 1) <= clairvoyant_misses(arrivals, room)
