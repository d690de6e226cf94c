import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.live.producers import Sent
from bench.peers.measure import Leg, in_turn
from bench.peers.report import figures_of, plot_peers, table_of
from bench.peers.summary import Figures, figures, medians, verdicts

RAY, OURS = "Ray Serve", "labelbus"


def sent(completion_ms: float, **changes: Any) -> Sent:
    given: dict[str, Any] = {"label": 0, "sent_s": 1.0, "completion_ms": completion_ms, "route": "hit"}
    return Sent(**{**given, **changes})


def leg(side: str, number: int, *times_ms: float, loads: int = 1) -> Leg:
    return Leg(side=side, round=number, loads=loads, requests=[sent(ms) for ms in times_ms])


def row(side: str, number: int, mean_ms: float, p99_ms: float, failed: int = 0) -> Figures:
    return Figures(
        side=side,
        round=number,
        requests=10,
        failed=failed,
        loads=4,
        mean_ms=mean_ms,
        p50_ms=1.0,
        p99_ms=p99_ms,
        max_ms=p99_ms,
        seconds=1.0,
    )


def test_a_leg_has_the_figures_of_the_requests_that_had_a_result():
    requests = [sent(100.0), sent(300.0, route="load"), sent(5.0, code="timeout", route="")]
    found = figures(Leg(side=OURS, round=2, loads=7, requests=requests))
    assert (found.side, found.round, found.loads, found.requests, found.failed) == (OURS, 2, 7, 3, 1)
    assert (found.mean_ms, found.p99_ms, found.max_ms) == (200.0, 300.0, 300.0)
    assert found.seconds == pytest.approx(1.3)
    assert found.routes == {"hit": 1, "load": 1}


@pytest.mark.parametrize("requests", [[], [sent(3.0, code="timeout")]], ids=["no request", "no result"])
def test_a_leg_without_results_has_figures_of_zero(requests):
    found = figures(Leg(side=OURS, round=1, loads=0, requests=requests))
    assert (found.mean_ms, found.p50_ms, found.p99_ms, found.max_ms) == (0.0, 0.0, 0.0, 0.0)


@given(st.lists(st.tuples(st.floats(1, 1e4), st.floats(1, 1e4)), min_size=1, max_size=7))
def test_medians_are_those_of_each_figure(measured):
    rounds = [row(OURS, number, mean, p99) for number, (mean, p99) in enumerate(measured, start=1)]
    (found,) = medians(rounds)
    assert found.mean_ms == statistics.median(mean for mean, _ in measured)
    assert found.p99_ms == statistics.median(p99 for _, p99 in measured)
    assert found.requests == 10 * len(measured)


@pytest.mark.parametrize(
    ("mean_ms", "p99_ms", "failed", "met"),
    [(50, 200, 0, True), (80, 200, 0, False), (90, 200, 0, False), (50, 400, 0, False), (50, 200, 1, False)],
    ids=["both below", "mean equal", "mean above", "p99 equal", "a request failed"],
)
def test_a_side_is_better_if_mean_and_p99_are_below_and_nothing_failed(mean_ms, p99_ms, failed, met):
    (verdict,) = verdicts([row(RAY, 1, 80, 400), row(OURS, 1, mean_ms, p99_ms, failed)], RAY)
    assert verdict.met is met
    assert ("requests failed" in verdict.text) is bool(failed)


def test_a_verdict_compares_rounds_of_the_same_number():
    rounds = [row(RAY, 1, 80, 400), row(OURS, 1, 90, 200), row(OURS, 2, 70, 200), row(RAY, 2, 80, 400)]
    rounds += [row(OURS, 3, 60, 200), row(RAY, 3, 80, 400)]
    (verdict,) = verdicts(rounds, RAY)
    assert verdict.met
    assert "both below in 2 of 3 rounds" in verdict.text


def test_without_the_peer_there_is_no_verdict():
    assert verdicts([row(OURS, 1, 1, 1)], RAY) == []


def test_each_side_is_first_in_turn():
    assert [in_turn("abc", number) for number in range(4)] == [list("abc"), list("bca"), list("cab"), list("abc")]


def test_the_table_the_history_and_the_plot_show_each_side(tmp_path):
    legs = [leg(side, number, 10.0, 20.0, 200.0) for number in (1, 2) for side in (RAY, OURS)]
    rounds = [figures(each) for each in legs]
    assert table_of(rounds).row_count == 6
    assert figures_of(rounds)["labelbus: p99"].value == 200.0
    plot_peers(legs, rounds, tmp_path / "peers.svg")
    assert "<svg" in (tmp_path / "peers.svg").read_text()
