"""Log records while the log sink, or NATS, is away. A full disk at the sink: tests/logsink/test_process.py."""

import asyncio
import json
import signal
from collections import Counter

import pytest

from tests.full import full
from tests.reliability.pool import all_right, under_load

pytestmark = [pytest.mark.nats, pytest.mark.e2e, pytest.mark.timeout(300)]


def completed(pool):
    """Return the number of completions of each task in the log, by its id."""
    found: Counter[str] = Counter()
    for file in pool.logs.rglob("worker.*/*"):
        for line in file.read_text().split("\n")[:-1]:  # the last one may be being written
            record = json.loads(line)
            if record["event"].startswith("Task completed"):
                found[record["fields"]["task_id"]] += 1
    return found


@pytest.mark.parametrize(
    ("how", "away_s"),
    [
        ("the sink is killed", 3.0),
        full("the sink is killed", 60.0, name="the sink is away for 60 s", timeout_s=300),
        ("NATS is killed", 0.0),
        ("workers are told to stop", 0.0),
    ],
)
async def test_every_task_is_in_the_log_once_whatever_goes_down(pool, how, away_s, figures):
    for name in ("w1", "w2"):
        await pool.worker(name)
    await pool.dispatcher()
    await pool.logsink()
    await pool.ready()
    killed = how == "NATS is killed"

    async def fault():
        if how == "the sink is killed":
            await pool.parts["logsink"].kill()
            await asyncio.sleep(away_s)  # the fault itself
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
        figures[f"sink away {away_s:.0f} s: tasks"] = len(outcomes)
        figures[f"sink away {away_s:.0f} s: longest answer s"] = away[-1]

    async def all_written():
        return len(completed(pool)) >= len(outcomes)

    figures[f"{how}: every record written within s"] = await pool.until(all_written)
    assert not any(pool.said(part, "log records dropped") for part in ("w1", "w2", "d1"))
    twice = {task_id: times for task_id, times in completed(pool).items() if times > 1}
    # A task whose result was on the wire when NATS died has run twice, and says so twice.
    assert len(twice) <= sum(1 for outcome in outcomes if outcome.attempt > 1)
