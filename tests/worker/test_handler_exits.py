"""Every way out of a handler: the task is answered at once, no slot is lost, and the worker goes on."""

import asyncio
import time
from typing import Any

import pytest

from bus.messages import Status
from tests.worker.serving import DEADLINE_S, poll
from worker.tasks import TaskContext, TaskType, task_type

pytestmark = pytest.mark.nats


class UnprintableError(Exception):
    """An error whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


EXITS: dict[str, BaseException] = {
    "ValueError": ValueError("the handler is wrong"),
    "SystemExit": SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt(),
    "GeneratorExit": GeneratorExit(),
    "CancelledError": asyncio.CancelledError(),
    "BaseException": BaseException("bare"),
    "BaseExceptionGroup": BaseExceptionGroup("several", [KeyboardInterrupt(), ValueError()]),
    "UnprintableError": UnprintableError(),
    "surrogate": ValueError("half a character: \ud800"),
    "long": ValueError("x" * 5_000_000),
}


@task_type("leave")
async def leave(context: TaskContext, parameters: str) -> None:
    await asyncio.sleep(0)
    raise EXITS[parameters]


@task_type("block")
async def block(context: TaskContext, parameters: float) -> str:
    time.sleep(parameters)  # noqa: ASYNC251  # the fault that is tested
    return "done"


def give(worker: Any, *task_types: TaskType) -> None:
    worker.service._task_types |= {kind.name: kind for kind in task_types}


@pytest.mark.parametrize("how", EXITS)
async def test_whatever_leaves_a_handler_is_the_answer_of_its_task_and_costs_no_slot(make_worker, how):
    worker = await make_worker(slots=1, window=0, capacity=1)
    give(worker, leave)
    for attempt in range(3):
        async with asyncio.timeout(DEADLINE_S):
            result = await worker.send(f"t{attempt}", "leave", parameters=how)
        assert (result.status, result.error_code) == (Status.FAILED, "worker_failed")
        assert result.error_message.startswith("leave failed: ")
        assert len(result.error_message) <= 4_000
        assert result.state is not None
        assert result.state.running == 0
    assert (await worker.ping()).outstanding == ()
    assert (await worker.send()).status is Status.OK
    assert (await worker.send(label="b")).evicted_label == "a", "nobody is thought to use the label"
    await poll(worker.members)


async def test_a_worker_that_stops_still_cancels_its_handlers_which_are_answered_as_that(make_worker):
    worker = await make_worker(drain_s=0.05, window=0)
    running = worker.begin("t")
    await worker.entered()
    worker.stopping.set()
    result = await asyncio.wait_for(running, DEADLINE_S)
    assert (result.status, result.error_code) == (Status.FAILED, "runtime_unavailable")
    await asyncio.wait_for(worker.running, DEADLINE_S)


async def test_tasks_that_are_cancelled_while_they_wait_for_a_slot_leave_it_to_others(make_worker):
    worker = await make_worker(slots=1, window=2, drain_s=0.05)
    tasks = [worker.begin("t0")]
    await worker.entered()
    tasks += [worker.begin(f"t{number}") for number in (1, 2)]
    await worker.state(lambda state: state.running == 3)
    worker.stopping.set()
    results = await asyncio.wait_for(asyncio.gather(*tasks), DEADLINE_S)
    assert {result.error_code for result in results} == {"runtime_unavailable"}
    await asyncio.wait_for(worker.running, DEADLINE_S)
    assert worker.service._gathering.free_slots == 1


async def test_a_handler_that_blocked_the_event_loop_is_answered_and_logged_with_its_place(make_worker, logged):
    worker = await make_worker(slots=2, window=0)
    give(worker, block)
    asked = [asyncio.create_task(worker.send("t", "block", parameters=2.5)), asyncio.create_task(worker.ping())]
    result = await asyncio.wait_for(asked[0], DEADLINE_S)
    assert (result.status, result.output) == (Status.OK, b'"done"')
    await asyncio.wait_for(asked[1], DEADLINE_S)
    await poll(lambda: logged.has("event loop blocked"))
    (record,) = logged.of("event loop blocked")
    assert record["blocked_s"] >= 1.0
    assert "test_handler_exits.py" in record["code"]
    assert record["code"].endswith(" block")
    assert (await worker.send()).status is Status.OK
    assert (await worker.ping()).running == 0
