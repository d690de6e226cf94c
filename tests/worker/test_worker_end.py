"""A worker that is told to stop, or does not come up."""

import asyncio

import msgspec
import pytest

from bus.errors import RuntimeUnavailableError
from bus.messages import Status
from tests.worker.serving import (
    DEADLINE_S,
    Reluctant,
    Runtime,
    gone,
    negated,
    poll,
)
from worker.service import WorkerService
from worker.settings import WorkerSettings

pytestmark = pytest.mark.nats


async def test_a_worker_that_is_told_to_stop_finishes_what_runs_and_takes_nothing_more(make_worker):
    worker = await make_worker(slots=2, window=1)
    running = worker.begin("t1")
    await worker.entered()
    worker.stopping.set()
    assert (await worker.state(lambda state: state.draining)).running == 1
    entry = await worker.entry_with(lambda found: found["state"] == "draining")
    assert entry["worker_id"] == "w"
    assert (await worker.send("t2")).status is Status.BUSY
    await poll(lambda: negated(worker.members()))
    assert not worker.running.done()
    worker.gate.open.set()
    assert (await asyncio.wait_for(running, DEADLINE_S)).status is Status.OK
    await asyncio.wait_for(worker.running, DEADLINE_S)
    await gone(worker)


async def test_an_idle_worker_that_is_told_to_stop_is_gone_when_it_says_so(worker):
    await poll(worker.members)
    worker.stopping.set()
    await asyncio.wait_for(worker.running, DEADLINE_S)
    assert worker.states[-1].draining
    await poll(lambda: negated(worker.members()))
    await gone(worker)


async def test_tasks_that_outlast_the_drain_are_answered_so_that_others_may_run_them(make_worker):
    worker = await make_worker(drain_s=0.05, window=1)
    running, waiting = worker.begin("t1"), None
    await worker.entered()
    waiting = worker.begin("t2")
    await worker.state(lambda state: state.running == 2)
    worker.stopping.set()
    for task in (running, waiting):
        result = await asyncio.wait_for(task, DEADLINE_S)
        assert (result.status, result.error_code) == (Status.FAILED, "runtime_unavailable")
    await asyncio.wait_for(worker.running, DEADLINE_S)


async def test_a_load_that_outlasts_the_drain_does_not_keep_the_worker(make_worker):
    worker = await make_worker(drain_s=0.05)
    worker.runtime.gate.clear()
    loading = worker.begin("t1")
    await worker.state(lambda state: state.loading == ("a",))
    worker.stopping.set()
    result = await asyncio.wait_for(loading, DEADLINE_S)
    assert result.error_code == "runtime_unavailable"
    await asyncio.wait_for(worker.running, DEADLINE_S)


async def test_a_worker_that_is_told_to_stop_does_not_wait_for_a_runtime_that_does_not_come_up(bus, settings):
    own = WorkerSettings(**msgspec.structs.asdict(settings), worker_id="w")
    runtime = Reluctant()
    service = WorkerService(bus, own, "w", runtime, {}, log_completed=print)
    stopping, ready = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(service.run(stopping, ready))
    async with asyncio.timeout(DEADLINE_S):
        await runtime.starting.wait()
        stopping.set()
        await running
    assert runtime.stopped
    assert not ready.is_set()


async def test_a_runtime_that_does_not_start_is_the_error_of_the_worker(bus, settings):
    class Broken(Runtime):
        async def start(self) -> None:
            raise RuntimeUnavailableError("no Triton here")

    own = WorkerSettings(**msgspec.structs.asdict(settings), worker_id="w")
    runtime = Broken()
    with pytest.raises(RuntimeUnavailableError, match="no Triton here"):
        await WorkerService(bus, own, "w", runtime, {}, log_completed=print).run(asyncio.Event(), asyncio.Event())
    assert runtime.stopped
