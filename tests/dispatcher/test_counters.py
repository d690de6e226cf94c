"""The histogram of durations."""

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.counters import BOUNDS_S, RouteDurations
from dispatcher.router import Route


def test_every_route_is_there_from_the_start():
    assert {histogram.route for histogram in RouteDurations()} == {route.value for route in Route}


@given(st.lists(st.tuples(st.sampled_from(Route), st.floats(0, 1000) | st.sampled_from(BOUNDS_S))))
def test_each_bucket_counts_what_took_no_longer_than_its_bound(tasks):
    durations = RouteDurations()
    for route, seconds in tasks:
        durations.observe(route.value, seconds)
    for histogram in durations:
        own = [seconds for route, seconds in tasks if route.value == histogram.route]
        assert histogram.at_most == (*(sum(s <= bound for s in own) for bound in BOUNDS_S), len(own))
        assert histogram.sum_s == sum(own)
