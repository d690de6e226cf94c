"""The model does not wait while answers are encoded."""

import asyncio
from typing import Any

import pytest

from bus.messages import Status
from tests.worker.serving import DEADLINE_S, poll
from worker.tasks import TaskContext, task_type

pytestmark = pytest.mark.nats


async def test_the_next_run_is_sent_before_the_answer_of_the_last_one_is_encoded(make_worker):
    events: list[str] = []
    go = {task_id: asyncio.Event() for task_id in ("t1", "t2")}

    class Answer:
        def __init__(self, task_id: str) -> None:
            self.task_id = task_id

        def to_json(self) -> bytes:
            events.append(f"{self.task_id} encoded")
            return b"null"

    @task_type("ordered")
    async def ordered(context: TaskContext, parameters: Any) -> Answer:
        await asyncio.sleep(0)  # gRPC sends in the second turn of the event loop
        events.append(f"{context.task_id} sent")
        await go[context.task_id].wait()
        return Answer(context.task_id)

    worker = await make_worker(slots=1, window=1)
    worker.service._task_types |= {ordered.name: ordered}
    first = asyncio.create_task(worker.send("t1", "ordered"))
    await poll(lambda: asyncio.sleep(0, result=events == ["t1 sent"]))
    second = asyncio.create_task(worker.send("t2", "ordered"))

    async def both_taken() -> bool:
        return len(worker.service._in_flight) == 2

    await poll(both_taken)
    await poll(lambda: asyncio.sleep(0, result=worker.service._gathering.waiting == 1))
    async with asyncio.timeout(DEADLINE_S):
        go["t1"].set()
        assert (await first).status is Status.OK
        assert events == ["t1 sent", "t2 sent", "t1 encoded"]
        go["t2"].set()
        assert (await second).status is Status.OK
