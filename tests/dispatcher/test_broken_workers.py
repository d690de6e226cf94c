"""A worker that refuses every task while it says that it is free: shown, logged, and its labels served elsewhere."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from bus.codec import decode_task, encode_result, encode_state
from bus.connection import Bus, Msg
from bus.messages import HeldLabel, Result, Status, WorkerEntry, WorkerState
from bus.owned import end
from bus.registry import Registration
from tests.dispatcher.conftest import Gateway, until
from tests.dispatcher.test_metrics import scrape, until_metric, value

pytestmark = pytest.mark.nats

LABEL = "a"


class Refuser:
    """A worker that says that it holds the label and is free, and answers BUSY to everything until it is mended."""

    def __init__(self, bus: Bus, worker_id: str) -> None:
        self.bus = bus
        self.worker_id = worker_id
        self.refused = 0
        self.mended = False
        self.epoch_ms = time.time_ns() // 1_000_000

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        held = HeldLabel(load_ms=1.0, since="2026-11-22T12:00:00+00:00")
        types = ("echo", "wait")

        def entry() -> WorkerEntry:
            fields: Any = {"worker_id": self.worker_id, "labels": {LABEL: held}, "task_types": types}
            return WorkerEntry(epoch_ms=self.epoch_ms, **fields)

        subjects = self.bus.subjects
        await self.bus.subscribe(subjects.task(self.worker_id), self._on_task)
        for subject in (subjects.ping(self.worker_id), subjects.ping_any):
            await self.bus.subscribe(subject, self._on_ping)
        await self.bus.settle()
        registration = asyncio.create_task(Registration(self.bus, self.worker_id, entry, heartbeat_s=1.0).run())
        try:
            yield
        finally:
            await end(registration)

    async def _on_task(self, msg: Msg) -> None:
        task = decode_task(msg.data)
        status = Status.OK if self.mended else Status.BUSY
        self.refused += not self.mended
        result = Result(
            task_id=task.task_id,
            worker_id=self.worker_id,
            status=status,
            output=b'{"by": "mended"}',
            state=self._state(),
        )
        await self.bus.publish(msg.reply, encode_result(result))

    async def _on_ping(self, msg: Msg) -> None:
        await self.bus.publish(msg.reply, encode_state(self._state(owed=())))

    def _state(self, **fields: Any) -> WorkerState:
        return WorkerState(worker_id=self.worker_id, epoch_ms=self.epoch_ms, labels=(LABEL,), **fields)


async def test_a_worker_that_refuses_everything_is_shown_and_logged_and_its_label_served_elsewhere(pool, log_records):
    def said(event: str) -> list[Any]:
        return [record["extra"]["worker"] for record in log_records if record["message"] == event]

    refuser = Refuser(pool.bus, "w9")
    async with refuser.running():
        await until(lambda: pool.service.router.holders(LABEL) == ["w9"])
        assert value(await scrape(pool), "workers_broken") == 0
        held = await hold_the_other(pool)
        asked = [pool.begin("echo", LABEL) for _ in range(10)]
        await until(lambda: said("worker broken") == ["w9"])
        await until_metric(pool, "workers_broken", 1)
        assert refuser.refused >= 5
        await let_go(pool, held)
        answers = await asyncio.gather(*asked)
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.headers["Labelbus-Worker"] for answer in answers} == {"w1"}
        assert said("worker broken") == ["w9"], "it is said once"

        refuser.mended = True
        held = await hold_the_other(pool)
        assert (await pool.run(label=LABEL)).json() == {"by": "mended"}
        await until_metric(pool, "workers_broken", 0)
        assert said("worker no longer broken") == ["w9"]
        await let_go(pool, held)


async def hold_the_other(pool: Gateway) -> "asyncio.Task[httpx.Response]":
    """Have the one slot of `w1` taken, so that tasks go to the refuser."""
    pool.gate.open.clear()
    held = pool.begin("wait", "b")
    await pool.gate.next_entered()
    return held


async def let_go(pool: Gateway, held: "asyncio.Task[httpx.Response]") -> None:
    pool.gate.open.set()
    assert (await held).status_code == 200
