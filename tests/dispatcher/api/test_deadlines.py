import pytest

from dispatcher.api.deadlines import LINGER_QUIET_S, LINGER_S, Phase, Stopwatch, Timeouts

TIMEOUTS = Timeouts(head_s=10, body_s=30, idle_s=75, min_bytes_per_s=1000)
REQUEST = object()


def watch(*looks: tuple[float, Phase, object, int]) -> bool:
    """Return whether the client is overdue after these looks."""
    stopwatch = Stopwatch()
    for now, phase, request, moved in looks:
        stopwatch.observe(now, phase, request, moved, TIMEOUTS)
    return stopwatch.is_overdue(TIMEOUTS)


@pytest.mark.parametrize(
    ("phase", "after_s"), [(Phase.IDLE, 75), (Phase.HEAD, 10), (Phase.BODY, 30), (Phase.WRITING, 30)]
)
def test_a_phase_without_progress_has_its_time_and_no_more(phase, after_s):
    assert not watch((5, phase, REQUEST, 0), (5 + after_s, phase, REQUEST, 0))
    assert watch((5, phase, REQUEST, 0), (5.1 + after_s, phase, REQUEST, 0))


def test_a_task_under_way_has_no_deadline():
    assert not watch((0, Phase.SERVING, REQUEST, 0), (10_000, Phase.SERVING, REQUEST, 0))


@pytest.mark.parametrize("phase", [Phase.BODY, Phase.WRITING])
def test_bytes_that_get_through_earn_time(phase):
    assert not watch((0, phase, REQUEST, 500), (100, phase, REQUEST, 70_500))
    assert watch((0, phase, REQUEST, 500), (100, phase, REQUEST, 70_400))


@pytest.mark.parametrize("phase", [Phase.IDLE, Phase.HEAD])
def test_bytes_earn_no_time_for_a_head(phase):
    assert watch((0, phase, REQUEST, 0), (80, phase, REQUEST, 1_000_000))


def test_another_phase_and_another_request_begin_again():
    assert not watch((0, Phase.IDLE, REQUEST, 0), (70, Phase.HEAD, REQUEST, 0), (79, Phase.HEAD, REQUEST, 0))
    assert not watch((0, Phase.HEAD, REQUEST, 0), (9, Phase.HEAD, object(), 0), (18, Phase.HEAD, object(), 0))


def test_who_lingers_goes_when_it_is_quiet_or_has_had_its_time():
    quick = [(float(now), Phase.LINGERING, REQUEST, now * 2000) for now in range(40)]
    assert not watch(*quick[:30])
    assert watch(*quick[: int(LINGER_S) + 2])
    assert not watch(*quick[:5], (4 + LINGER_QUIET_S, Phase.LINGERING, REQUEST, 8000))
    assert watch(*quick[:5], (4.1 + LINGER_QUIET_S, Phase.LINGERING, REQUEST, 8001))
