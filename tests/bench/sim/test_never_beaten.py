"""The router beside the simple rules on a small grid: it must not become clearly worse where it is as good today.

Simulated figures are exact, whatever the machine. The cells are those of the coarse grid that have few requests and are
met; `just bench-sim --grid` measures all of them against the bars themselves.
"""

import statistics

import pytest

from bench.sim.grid import COARSE, MEAN_BAR, P99_BAR, cells, measure, summary

CLEARLY = 1.1
"""Factor beyond the bar from which the router is clearly worse: a change of the model may move a cell by less."""

PLAYED = (2, 3, 4, 5, 6, 7, 9, 11, 13, 14, 17, 19, 20, 21, 23)


@pytest.fixture(scope="module")
def results():
    coarse = cells(COARSE)
    return {number: measure(coarse[number]) for number in PLAYED}


@pytest.mark.parametrize("number", PLAYED, ids=[cells(COARSE)[number].text() for number in PLAYED])
def test_no_simple_rule_is_clearly_better(results, number):
    assert results[number].mean_ratio <= MEAN_BAR * CLEARLY
    assert results[number].p99_ratio <= P99_BAR * CLEARLY


def test_most_cells_meet_the_bars_themselves(results):
    assert sum(result.is_met for result in results.values()) >= len(PLAYED) - 2, summary(list(results.values()))


def test_the_router_is_better_than_the_best_simple_rule_over_all_cells(results):
    # Over these cells the router is ahead of the best simple rule in the mean.
    assert statistics.geometric_mean([result.mean_ratio for result in results.values()]) < 0.9
    assert statistics.geometric_mean([result.p99_ratio for result in results.values()]) < 0.9
