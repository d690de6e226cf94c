"""Workers that are killed, that hang, and that are killed by the task they run."""

import asyncio
import json
import signal
import time

import nats as nats_py
import pytest

from tests.reliability.pool import DEADLINE_S, all_right, under_load

pytestmark = [pytest.mark.nats, pytest.mark.e2e]

HANDLERS = ("--handlers", "tests.reliability.deadly")


async def test_a_worker_that_is_killed_with_tasks_on_it_costs_none_of_them(pool, figures):
    for name in ("w1", "w2"):
        await pool.worker(name)
    await pool.dispatcher()
    await pool.ready()
    took = 0.0

    async def kill():
        nonlocal took
        await pool.parts["w1"].kill()
        took = await pool.until_workers("w2")

    outcomes = await under_load(pool, kill, rate=40.0, sleep_ms=60.0)
    assert all_right(outcomes)
    assert {outcome.worker for outcome in outcomes} == {"w1", "w2"}
    assert any(outcome.attempt > 1 for outcome in outcomes), "nothing ran on the worker that was killed"
    figures["worker killed: noticed within s"] = took
    figures["worker killed: longest answer s"] = max(outcome.took_s for outcome in outcomes)


async def test_a_worker_that_hangs_loses_its_tasks_and_takes_part_again_when_it_wakes(pool, figures):
    for name in ("w1", "w2"):
        await pool.worker(name)
    await pool.dispatcher()
    await pool.ready()
    took = 0.0

    async def hang():
        nonlocal took
        pool.parts["w1"].send(signal.SIGSTOP)
        took = await pool.until_workers("w2")
        pool.parts["w1"].send(signal.SIGCONT)
        figures["worker hung: back after waking within s"] = await pool.until_workers("w1", "w2")
        await pool.until_said("d1", "late result dropped")
        await pool.until(ran_again)

    async def ran_again():
        answer = await pool.gateway.run_task("acme/a", parameters={"sleep_ms": 1})
        return bool(answer.headers["labelbus-worker"] == "w1")

    outcomes = await under_load(pool, hang, rate=40.0, sleep_ms=60.0)
    assert all_right(outcomes)
    assert any(outcome.attempt > 1 for outcome in outcomes)
    figures["worker hung: noticed within s"] = took


async def test_a_handler_that_blocks_its_worker_for_ten_seconds_is_run_elsewhere_and_the_worker_comes_back(
    pool, tmp_path, figures
):
    for name in ("w1", "w2"):
        await pool.worker(name, *HANDLERS)
    await pool.dispatcher()
    await pool.ready()
    began = time.monotonic()
    answer = await pool.gateway.run_task(
        "acme/a",
        task_type="count_and_block_once",
        task_id="slow",
        parameters={"file": str(tmp_path / "runs"), "seconds": 10},
    )
    figures["handler blocks for 10 s: answered from elsewhere within s"] = time.monotonic() - began
    assert (answer.status, answer.json()) == (200, {"runs": 2})
    (blocked,) = {"w1", "w2"} - {answer.headers["labelbus-worker"]}
    figures["handler blocks for 10 s: worker back within s"] = await pool.until_workers("w1", "w2")
    await pool.until_said("d1", "late result dropped")
    await pool.until_said(blocked, "event loop blocked")
    (record,) = pool.said(blocked, "event loop blocked")
    assert record["fields"]["blocked_s"] > 8
    assert "deadly.py" in record["fields"]["code"]

    async def used_again() -> bool:
        sent = [pool.gateway.run_task(label, parameters={"sleep_ms": 20}) for label in ("acme/b", "acme/c", "acme/d")]
        return blocked in {answer.headers["labelbus-worker"] for answer in await asyncio.gather(*sent)}

    await pool.until(used_again)
    assert (tmp_path / "runs").read_text().split() == ["slow", "slow"]


async def test_a_task_that_may_not_be_retried_runs_once_and_its_error_names_the_worker(pool, tmp_path):
    for name in ("w1", "w2"):
        await pool.worker(name, *HANDLERS)
    await pool.dispatcher()
    await pool.ready()
    notes = tmp_path / "runs"
    task = {"parameters": {"file": str(notes)}, "task_type": "count_and_die_once"}
    once = await pool.gateway.run_task("acme/a", task_id="once", retry=False, **task)
    assert (once.status, once.code) == (502, "worker_failed")
    assert once.json()["worker"] in {"w1", "w2"}
    assert "may not be run twice" in once.json()["detail"]
    again = await pool.gateway.run_task("acme/a", task_id="again", **task)
    # The second run may meet no worker: the first task took one, and this one the other.
    await asyncio.gather(*(pool.parts[name].start() for name in ("w1", "w2") if pool.parts[name].pid is None))
    assert again.status in {200, 503}
    assert notes.read_text().split().count("once") == 1


async def test_a_task_that_kills_each_worker_it_meets_is_given_up_after_two_and_the_pool_stays_up(pool, figures):
    names = ("w1", "w2", "w3")
    for name in names:
        await pool.worker(name, *HANDLERS)
    await pool.dispatcher()
    await pool.ready()

    async def poison():
        began = time.monotonic()
        answer = await pool.gateway.run_task("acme/a", task_type="die", task_id="poison")
        figures["poison task: given up within s"] = time.monotonic() - began
        assert (answer.status, answer.code) == (502, "worker_failed")
        problem = answer.json()
        assert problem["task_id"] == "poison"
        named = sorted(problem["worker"].split(","))
        assert len(named) == 2

        async def are_dead():  # NATS tells of an end before the system does
            return [name for name in names if pool.parts[name].pid is None] == named

        await pool.until(are_dead)

    outcomes = await under_load(pool, poison, rate=30.0)
    assert all_right(outcomes), "what ran beside the poison was taken down with it"
    assert (await pool.gateway.run_task("acme/b")).status == 200


async def test_a_task_that_kills_its_worker_is_found_among_its_company_which_is_answered(pool, tmp_path):
    names = ("w1", "w2", "w3")
    for name in names:
        await pool.worker(name, *HANDLERS, "--slots", "1")
    await pool.dispatcher()
    await pool.ready()
    notes = tmp_path / "passes"

    async def run(number: int, *, die: bool = False):
        return await pool.gateway.run_task(
            "acme/a",
            task_type="die_in_company",
            task_id="poison" if die else f"t{number}",
            parameters={"file": str(notes), "die": die},
        )

    assert (await run(0)).status == 200
    answers = await asyncio.gather(*(run(number) for number in range(6)), run(6, die=True), *map(run, range(7, 12)))
    poison = answers.pop(6)
    assert (poison.status, poison.code) == (502, "worker_failed")
    assert [answer.status for answer in answers] == [200] * 11
    passes = [line.split() for line in notes.read_text().splitlines()]
    deadly = [int(size) for size, is_deadly in passes if is_deadly == "True"]
    assert deadly[0] > 1, "the poison had no company"
    assert deadly[1:] == [1], "and it was alone when it was tried again"
    assert len([name for name in names if pool.parts[name].pid is None]) == 2


async def test_what_the_queue_group_gave_a_worker_that_is_killed_runs_elsewhere(pool, figures):
    for name in ("w1", "w2"):
        await pool.worker(name)
    await pool.dispatcher("d1", "--policy", "random")
    await pool.ready()

    async def kill():
        await pool.parts["w1"].kill()
        figures["worker of the queue group killed: noticed within s"] = await pool.until_workers("w2")

    outcomes = await under_load(pool, kill, rate=20.0, sleep_ms=150.0)
    assert all_right(outcomes)
    assert any(outcome.attempt > 1 for outcome in outcomes)
    figures["worker of the queue group killed: longest answer s"] = max(outcome.took_s for outcome in outcomes)


async def test_a_worker_that_is_told_to_stop_under_load_fails_no_task(pool, figures):
    for name in ("w1", "w2"):
        await pool.worker(name)
    await pool.dispatcher()
    await pool.ready()

    async def stop():
        began = time.monotonic()
        pool.parts["w1"].send(signal.SIGTERM)
        assert await pool.parts["w1"].ended() == 0
        figures["worker told to stop: ended within s"] = time.monotonic() - began
        await pool.until_workers("w2")

    outcomes = await under_load(pool, stop, rate=40.0, sleep_ms=60.0)
    assert all_right(outcomes)
    assert [outcome for outcome in outcomes if outcome.attempt > 1] == []


@pytest.mark.parametrize("minutes", [-7, 7])
async def test_deadlines_hold_on_a_worker_whose_clock_is_minutes_off(pool, tmp_path, minutes):
    shift_clock(tmp_path, minutes)
    await pool.worker("w1", "--slots", "1", PYTHONPATH=str(tmp_path))
    await pool.dispatcher()
    await pool.ready()
    assert (await pool.gateway.run_task("acme/a", deadline_s=DEADLINE_S)).status == 200
    assert abs(await epoch_s(pool) - time.time()) > 300, "its clock is not off"
    first = asyncio.create_task(pool.gateway.run_task("acme/a", parameters={"sleep_ms": 1500}, deadline_s=DEADLINE_S))
    await asyncio.sleep(0)
    late = await pool.gateway.run_task("acme/a", deadline_s=0.4)
    assert (late.status, late.code) == (504, "deadline_passed")
    assert (await first).status == 200


async def test_a_worker_that_comes_back_with_its_clock_set_back_is_believed_at_once(pool, tmp_path, figures):
    shift_clock(tmp_path, 7)
    await pool.worker("w1", PYTHONPATH=str(tmp_path))
    await pool.dispatcher()
    await pool.ready()
    assert (await pool.gateway.run_task("acme/a")).status == 200
    before_s = await epoch_s(pool)
    await pool.parts["w1"].kill()
    shift_clock(tmp_path, 0)
    await pool.parts["w1"].start()
    await pool.parts["w1"].ready(DEADLINE_S)
    assert await epoch_s(pool) < before_s, "its clock was not set back"

    async def holds(*labels):
        return (await pool.gateway.call("GET", "/labels")).json() == {label: ["w1"] for label in labels}

    figures["clock set back: believed within s"] = await pool.until(holds)
    assert (await pool.gateway.run_task("acme/b")).status == 200
    await pool.until(lambda: holds("acme/b"))


def shift_clock(folder, minutes):
    """Shift the clock of processes that are started with this folder on their PYTHONPATH."""
    (folder / "sitecustomize.py").write_text(
        "import time\n"
        f"shift = {minutes * 60}\n"
        "wall, wall_ns = time.time, time.time_ns\n"
        "time.time = lambda: wall() + shift\n"
        "time.time_ns = lambda: wall_ns() + shift * 1_000_000_000\n"
    )


async def epoch_s(pool):
    """Return the time at which the worker began, by its own clock."""
    nc = await nats_py.connect(pool.nats.url)
    try:
        entry = await (await nc.jetstream().key_value("labels")).get("worker.w1")
        assert entry.value is not None
        return json.loads(entry.value)["epoch_ms"] / 1000
    finally:
        await nc.close()
