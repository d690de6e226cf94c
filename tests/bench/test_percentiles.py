import math

from bench.percentiles import percentile, percentiles


def test_percentiles_are_of_the_values():
    found = percentiles([float(number) for number in range(100, 0, -1)])
    assert (found.count, found.mean, found.p50, found.p95, found.p99) == (100, 50.5, 51.0, 96.0, 100.0)


def test_without_values_there_are_zeros_and_no_percentile():
    assert percentiles([]).count == 0
    assert math.isnan(percentile([], 50))
