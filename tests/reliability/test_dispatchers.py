"""Dispatchers that are killed, stopped, and overloaded."""

import asyncio
import signal
import time
from collections import Counter

import pytest

from bench.chaos.load import Load
from tests.full import full
from tests.reliability.pool import DEADLINE_S, LABELS, all_right, under_load

pytestmark = [pytest.mark.nats, pytest.mark.e2e, pytest.mark.timeout(400)]

OVERLOAD_RATE = 400.0


async def small_pool(pool, *dispatchers, flags=()):
    for name in ("w1", "w2"):
        await pool.worker(name)
    for name in dispatchers:
        await pool.dispatcher(name, *flags)
    await pool.ready()


async def test_a_dispatcher_that_is_killed_and_restarted_knows_the_registry_at_once(pool, figures):
    await small_pool(pool, "d1")

    async def restart():
        await pool.parts["d1"].kill()
        await pool.parts["d1"].start()
        await pool.parts["d1"].ready(30)
        began = time.monotonic()
        assert await pool.workers() == {"w1", "w2"}, "it is ready before it knows the registry"
        figures["dispatcher restarted: registry after ready s"] = time.monotonic() - began
        started, listening = (pool.said("d1", event)[-1]["time"] for event in ("started", "gateway listening"))
        figures["dispatcher restarted: registry within s"] = seconds(listening) - seconds(started)

    outcomes = await under_load(pool, restart, rate=40.0, sleep_ms=60.0)
    assert all_right(outcomes)
    assert any(outcome.tries > 1 for outcome in outcomes)


def seconds(time_of_record):
    clock = time_of_record.partition("T")[2].rstrip("Z").split(":")
    return int(clock[0]) * 3600 + int(clock[1]) * 60 + float(clock[2])


async def test_clients_of_one_dispatcher_do_not_notice_that_another_is_killed(pool):
    await small_pool(pool, "d1", "d2")
    other = pool.gateways.pop("d2")
    beside = Load([other], LABELS, rate=20.0, sleep_ms=40.0)
    running = asyncio.create_task(beside.run())

    async def kill():
        await pool.parts["d1"].kill()
        count = len(beside.outcomes) + 40
        await pool.until(lambda: more_than(beside, count))
        beside.stop()
        await pool.parts["d1"].start()
        await pool.parts["d1"].ready(30)

    await under_load(pool, kill, rate=20.0, sleep_ms=40.0)
    outcomes = await running
    other.close()
    assert all_right(outcomes)
    assert {outcome.tries for outcome in outcomes} == {1}
    assert {outcome.attempt for outcome in outcomes} == {1}


async def more_than(load, count):
    return len(load.outcomes) > count


async def test_a_dispatcher_that_is_told_to_stop_answers_what_it_has(pool, figures):
    await small_pool(pool, "d1")
    tasks = [
        asyncio.create_task(pool.gateway.run_task(LABELS[n % 4], task_id=f"t{n}", parameters={"sleep_ms": 700}))
        for n in range(12)
    ]

    async def taken():  # a task whose deadline has passed is refused, as is one whose id is in flight before that
        asked = [pool.gateway.run_task("acme/a", task_id=f"t{n}", deadline_s=-1) for n in range(12)]
        answers = await asyncio.gather(*asked)
        return all(task.done() or answer.code == "exists" for task, answer in zip(tasks, answers, strict=True))

    await pool.until(taken)
    began = time.monotonic()
    pool.parts["d1"].send(signal.SIGTERM)
    answers = await asyncio.gather(*tasks)
    assert await pool.parts["d1"].ended() == 0
    figures["dispatcher told to stop: ended within s"] = time.monotonic() - began
    assert [answer.status for answer in answers] == [200] * 12


@pytest.mark.parametrize("overload_s", [4.0, full(180.0, name="overload of 180 s", timeout_s=400)])
async def test_more_than_the_pool_can_do_is_refused_with_a_time_to_come_again_and_memory_stays_flat(
    pool, figures, overload_s
):
    await small_pool(pool, "d1", flags=("--max-waiting", "50", "--max-waiting-per-label", "30"))
    part = pool.parts["d1"]
    warm = Load([pool.gateway], LABELS, rate=100.0, sleep_ms=20.0)
    await run_for(pool, warm, 300, overload_s)
    before = {name: (pool.parts[name].rss_mb(), pool.parts[name].open_files()) for name in ("d1", "w1", "w2")}
    load = Load([pool.gateway], LABELS, rate=OVERLOAD_RATE, sleep_ms=20.0, deadline_s=20.0)
    outcomes = await run_for(pool, load, int(OVERLOAD_RATE * overload_s), overload_s)
    figures["overload: s"] = load.now_s
    told = Counter(outcome.code for outcome in outcomes)
    assert set(told) == {"", "queue_full"}
    assert all(outcome.right for outcome in outcomes)
    taken = sorted(outcome.took_s for outcome in outcomes if outcome.answered)
    figures["overload: answered per cent"] = 100 * told[""] / len(outcomes)
    figures["overload: p99 of the accepted s"] = taken[int(len(taken) * 0.99)]
    refusals = await asyncio.gather(*(pool.gateway.run_task("acme/a", parameters={"sleep_ms": 50}) for _ in range(120)))
    refused = [answer for answer in refusals if answer.status == 429]
    assert refused
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert (await pool.gateway.run_task("acme/a")).status == 200
    for name, (rss_mb, files) in before.items():
        figures[f"overload: {name} grew by MB"] = pool.parts[name].rss_mb() - rss_mb
        if name != "d1":
            assert pool.parts[name].open_files() <= files + 2
    # Connections of this test's own load stay open; what a task leaves behind would be thousands.
    assert part.open_files() < before["d1"][1] + 400
    assert part.rss_mb() < before["d1"][0] + 60


async def run_for(pool, load, count, at_least_s):
    running = asyncio.create_task(load.run())
    await pool.until(lambda: more_than(load, count), deadline_s=at_least_s + DEADLINE_S)
    load.stop()
    return await running
