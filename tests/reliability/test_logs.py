"""Log records while the log sink, or NATS, is away. A full disk at the sink: tests/logsink/test_process.py."""

import json
import signal
from collections import Counter

import pytest

from tests.reliability.pool import all_right, under_load

pytestmark = [pytest.mark.nats, pytest.mark.e2e]


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
async def test_every_task_is_in_the_log_once_whatever_goes_down(pool, how):
    for name in ("w1", "w2"):
        await pool.worker(name)
    await pool.dispatcher()
    await pool.logsink()
    await pool.ready()
    killed = how == "NATS is killed"

    async def fault():
        if how == "the sink is killed":
            await pool.parts["logsink"].kill()
            for n in range(100):
                assert (await pool.gateway.run_task("acme/a", task_id=f"away{n}")).status == 200
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
    count = len(outcomes) + (100 if how == "the sink is killed" else 0)

    async def all_written():
        return len(completed(pool)) >= count

    await pool.until(all_written)
    twice = {task_id: times for task_id, times in completed(pool).items() if times > 1}
    # A task whose result was on the wire when NATS died has run twice, and says so twice.
    assert len(twice) <= sum(1 for outcome in outcomes if outcome.attempt > 1)
