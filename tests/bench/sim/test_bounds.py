import pytest

from bench.sim.bounds import clairvoyant
from tests.bench.sim.conftest import in_a_row


@pytest.mark.parametrize(("labels", "misses"), [("aaaa", 1), ("abab", 2), ("abcabc", 4), ("abcab", 4), ("", 0)])
def test_belady_misses(labels, misses):
    assert clairvoyant(in_a_row(labels)) == (misses, misses * 1.0)
