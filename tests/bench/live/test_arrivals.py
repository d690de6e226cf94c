import statistics

import pytest

from bench.live.arrivals import closed_loop, open_loop
from bench.popularity import zipf


def closed(**changes):
    given = {"requests": 2400, "producers": 2, "shares": zipf(5, 0.0), "wait_avg_s": 2.5, "wait_stddev_s": 1.0}
    return closed_loop(**{**given, "seed": 1, **changes})


@pytest.mark.parametrize(("requests", "producers", "counts"), [(10, 2, [5, 5]), (10, 3, [4, 3, 3]), (1, 2, [1, 0])])
def test_requests_are_shared_among_producers(requests, producers, counts):
    assert [len(plan) for plan in closed(requests=requests, producers=producers)] == counts


def test_waits_are_those_of_the_published_benchmark():
    waits = [one.wait_s for plan in closed() for one in plan]
    assert min(waits) >= 0.0
    assert statistics.fmean(waits) == pytest.approx(2.5, abs=0.1)


def test_the_same_seed_gives_the_same_arrivals_and_another_gives_others():
    assert closed() == closed()
    assert closed() != closed(seed=2)
    assert closed()[0] != closed()[1]


def test_an_open_loop_has_the_rate_it_was_asked_for():
    plan = open_loop(requests=5000, shares=zipf(5, 1.0), rate=20.0, seed=3)
    assert sum(one.wait_s for one in plan) == pytest.approx(250.0, rel=0.1)
    asked = [sum(one.label == label for one in plan) for label in range(5)]
    assert asked == sorted(asked, reverse=True)
