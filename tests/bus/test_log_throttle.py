import asyncio
import contextlib
import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from bus.log_throttle import Line, LogThrottle, ThrottledLogger

DEADLINE_S = 30


def line(event, number, left_out):
    return Line(event=event, fields={"number": number}, left_out=left_out)


def test_the_first_of_each_event_is_written_at_once_and_its_like_are_counted():
    throttle = LogThrottle()
    assert throttle.take(10.0, "a", {"number": 1}) == line("a", 1, 0)
    assert throttle.take(10.1, "a", {"number": 2}) is None
    assert throttle.take(10.2, "b", {"number": 1}) == line("b", 1, 0)
    assert throttle.take(10.9, "a", {"number": 3}) is None
    assert throttle.due_at == 11.0
    assert throttle.take(11.0, "a", {"number": 4}) == line("a", 4, 2)


def test_a_burst_that_ends_is_told_with_its_latest_fields_once_its_second_is_over():
    throttle = LogThrottle()
    for number in range(5):
        throttle.take(0.1 * number, "a", {"number": number})
    assert throttle.take_due(0.9) == []
    assert throttle.take_due(1.0) == [line("a", 4, 3)]
    assert throttle.due_at == math.inf
    assert throttle.take_due(2.0) == []
    assert throttle.take(2.1, "a", {"number": 9}) == line("a", 9, 0)


def test_at_the_end_all_is_told():
    throttle = LogThrottle()
    for number in range(3):
        throttle.take(0.0, "a", {"number": number})
        throttle.take(0.0, "b", {"number": number})
    assert throttle.take_all() == [line("a", 2, 1), line("b", 2, 1)]
    assert throttle.take_all() == []


@given(st.lists(st.tuples(st.floats(0, 0.7), st.sampled_from("abc"), st.booleans())))
def test_lines_and_left_out_ones_add_up_and_no_event_has_two_lines_within_a_second(steps):
    throttle, now, happened = LogThrottle(), 0.0, 0
    lines: list[tuple[float, Line]] = []
    for pause, event, look in steps:
        now += pause
        if look:
            lines += [(now, due) for due in throttle.take_due(now)]
        happened += 1
        written = throttle.take(now, event, {})
        if written is not None:
            lines.append((now, written))
    for event in "abc":
        times = [at for at, written in lines if written.event == event]
        assert all(later - earlier >= 1.0 for earlier, later in itertools.pairwise(times))
    told = [written for _, written in lines] + throttle.take_all()
    assert sum(1 + written.left_out for written in told) == happened


@contextlib.contextmanager
def heard():
    """Every record that is logged, and an event for each."""
    records: asyncio.Queue[Any] = asyncio.Queue()
    sink = logger.add(lambda message: records.put_nowait(message.record), level="WARNING")
    try:
        yield records
    finally:
        logger.remove(sink)


@pytest.mark.parametrize("end", ["timer", "flush"])
async def test_the_last_count_of_a_burst_is_written_by_the_timer_or_by_flush(end):
    with heard() as records:
        log = ThrottledLogger(interval_s=0.05 if end == "timer" else 3600)
        for number in range(100):
            log.warning("message ignored", number=number)
        if end == "flush":
            log.flush()
        first = await asyncio.wait_for(records.get(), DEADLINE_S)
        last = await asyncio.wait_for(records.get(), DEADLINE_S)
    assert (first["message"], first["extra"]) == ("message ignored", {"number": 0, "left_out": 0})
    assert last["extra"] == {"number": 99, "left_out": 98}
    assert records.empty()
    log.flush()
