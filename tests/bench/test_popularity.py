import itertools

import pytest

from bench.popularity import zipf


@pytest.mark.parametrize(("labels", "exponent"), [(1, 0.0), (5, 0.0), (50, 1.0), (200, 1.0), (10_000, 0.9)])
def test_shares_add_up_to_one_and_never_rise(labels, exponent):
    shares = zipf(labels, exponent)
    assert sum(shares) == pytest.approx(1.0)
    assert all(one >= other for one, other in itertools.pairwise(shares))


def test_without_an_exponent_labels_are_equal():
    assert zipf(4, 0.0) == [0.25] * 4
