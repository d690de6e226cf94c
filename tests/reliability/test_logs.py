"""Log records while the log sink, or NATS, is away. A full disk at the sink: tests/logsink/test_process.py."""

import asyncio
import json
import signal
from collections import Counter

import pytest

from tests.reliability.pool import all_right, fault_s, under_load

pytestmark = [pytest.mark.nats, pytest.mark.e2e, pytest.mark.timeout(300)]

SINK_AWAY_S = fault_s(full=60.0, short=3.0)


def completed(pool):
    """How often each task is in the log as completed, by its id."""
    found: Counter[str] = Counter()
    for file in pool.logs.rglob("worker.*/*"):
        for line in file.read_text().split("\n")[:-1]:  # the last one may be being written
            record = json.loads(line)
            if record["event"].startswith("Task completed"):
                found[record["fields"]["task_id"]] += 1
    return found


@pytest.mark.parametrize("how", ["the sink is killed", "NATS is killed", "workers are told to stop"])
async def test_every_task_is_in_the_log_once_whatever_goes_down(pool, how, figures):
    for name in ("w1", "w2"):
        await pool.worker(name)
    await pool.dispatcher()
    await pool.logsink()
    await pool.ready()
    killed = how == "NATS is killed"

    async def fault():
        if how == "the sink is killed":
            await pool.parts["logsink"].kill()
            await asyncio.sleep(SINK_AWAY_S)  # the fault itself
            await pool.parts["logsink"].start()
        elif killed:
            pool.nats.stop(signal.SIGKILL)
            pool.nats.start()
        else:
            pool.parts["w1"].send(signal.SIGTERM)
            assert await pool.parts["w1"].ended() == 0
            await pool.parts["w1"].start()

    outcomes = await under_load(pool, fault, rate=40.0)
    assert all_right(outcomes)
    if how == "the sink is killed":
        assert {(outcome.tries, outcome.attempt) for outcome in outcomes} == {(1, 1)}, "tasks noticed something"
        away = sorted(outcome.took_s for outcome in outcomes)
        figures[f"sink away {SINK_AWAY_S:.0f} s: tasks"] = len(outcomes)
        figures[f"sink away {SINK_AWAY_S:.0f} s: longest answer s"] = away[-1]

    async def all_written():
        return len(completed(pool)) >= len(outcomes)

    figures[f"{how}: every record written within s"] = await pool.until(all_written)
    assert not any(pool.said(part, "log records dropped") for part in ("w1", "w2", "d1"))
    twice = {task_id: times for task_id, times in completed(pool).items() if times > 1}
    # A task whose result was on the wire when NATS died has run twice, and says so twice.
    assert len(twice) <= sum(1 for outcome in outcomes if outcome.attempt > 1)
