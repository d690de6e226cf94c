"""A worker that refuses every task while it says that it is free: shown, logged, and its labels served elsewhere."""

import asyncio
from typing import Any

import httpx
import pytest

from bus.codec import encode_result
from bus.messages import Result, Status, Task
from tests.dispatcher.conftest import Gateway, until
from tests.dispatcher.played_worker import PlayedWorker
from tests.dispatcher.test_metrics import scrape, until_metric, value

pytestmark = pytest.mark.nats

LABEL = "a"


async def test_a_worker_that_refuses_everything_is_shown_and_logged_and_its_label_served_elsewhere(pool, log_records):
    mended = asyncio.Event()

    def answer(task: Task) -> bytes:
        status = Status.OK if mended.is_set() else Status.BUSY
        fields: dict[str, Any] = {"task_id": task.task_id, "worker_id": "w9", "state": worker.state()}
        return encode_result(Result(status=status, output=b'{"by": "w9"}', **fields))

    def said(event: str) -> list[Any]:
        return [record["extra"]["worker"] for record in log_records if record["message"] == event]

    worker = PlayedWorker(pool.bus, "w9", answer, labels=(LABEL,))
    async with worker.running():
        await until(lambda: pool.service.router.holders(LABEL) == ["w9"])
        assert value(await scrape(pool), "workers_broken") == 0
        held = await hold_the_other(pool)
        asked = [pool.begin("echo", LABEL) for _ in range(10)]
        await until(lambda: said("worker broken") == ["w9"])
        await until_metric(pool, "workers_broken", 1)
        assert len(worker.tasks) >= 5
        await let_go(pool, held)
        answers = await asyncio.gather(*asked)
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.headers["Labelbus-Worker"] for answer in answers} == {"w1"}
        assert said("worker broken") == ["w9"], "it is said once"

        mended.set()
        held = await hold_the_other(pool)
        assert (await pool.run(label=LABEL)).json() == {"by": "w9"}
        await until_metric(pool, "workers_broken", 0)
        assert said("worker no longer broken") == ["w9"]
        await let_go(pool, held)


async def hold_the_other(pool: Gateway) -> "asyncio.Task[httpx.Response]":
    """Have the one slot of `w1` taken, so that tasks go to `w9`."""
    pool.gate.open.clear()
    held = pool.begin("wait", "b")
    await pool.gate.next_entered()
    return held


async def let_go(pool: Gateway, held: "asyncio.Task[httpx.Response]") -> None:
    pool.gate.open.set()
    assert (await held).status_code == 200
