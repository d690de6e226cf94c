import pytest

from bench.router.cost import measure, measure_hits


@pytest.mark.parametrize(
    "costs", [lambda: measure(10, events=50), lambda: measure_hits(events=50)], ids=["busy", "hits"]
)
def test_the_cost_is_measured_for_both_kinds_of_event(costs):
    found = costs()
    assert [cost.event for cost in found] == ["submit", "finished"]
    assert all(cost.median_us > 0 and cost.events == 50 for cost in found)
