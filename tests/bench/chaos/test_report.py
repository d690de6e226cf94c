import pytest

from bench.chaos.load import Outcome
from bench.chaos.report import verdict


def outcome(began, took_s, status=200, *, right=True, tries=1, attempt=1):
    return Outcome(
        began=began, took_s=took_s, status=status, code="", right=right, tries=tries, attempt=attempt, worker="w"
    )


def test_every_task_that_was_sent_is_counted_once():
    outcomes = [
        outcome(0.0, 0.1),
        outcome(1.0, 0.5, attempt=2),
        outcome(2.0, 4.0, tries=3),
        outcome(3.0, 0.1, 429),
        outcome(3.0, 0.1, 503),
        outcome(3.0, 0.1, 502),
        outcome(3.0, 30.0, 504),
        outcome(3.0, 40.0, 0),
        outcome(9.0, 0.2, right=False),
    ]
    result = verdict(outcomes, sent=10, calm_until=1.0, calm_from=8.0)
    assert (result.answered, result.refused, result.failed, result.late) == (4, 2, 1, 1)
    assert result.lost == 2, "one without an answer, and one that never ended"
    assert (result.retried, result.resent, result.wrong) == (1, 1, 1)
    assert result.longest_outage_s == pytest.approx(4.5)
    assert (result.p99_before_s, result.p99_during_s, result.p99_after_s) == (0.1, 4.0, 0.2)
