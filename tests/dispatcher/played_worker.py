"""A worker that is played by the test: registered and on the bus as any other, with whatever answers the test wants."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from bus.codec import decode_task, encode_state
from bus.connection import Bus, Msg
from bus.messages import HeldLabel, Task, WorkerEntry, WorkerState
from bus.owned import end
from bus.registration import Registration

HELD = HeldLabel(load_ms=1.0, since="2026-11-22T12:00:00+00:00")


class PlayedWorker:
    """A worker with one slot that says that it is free. `answer` makes the payload of the answer to a task."""

    def __init__(
        self, bus: Bus, worker_id: str, answer: Callable[[Task], bytes], *, labels: tuple[str, ...] = ("a",)
    ) -> None:
        self._bus = bus
        self._worker_id = worker_id
        self._answer = answer
        self._labels = labels
        self._epoch_ms = time.time_ns() // 1_000_000
        self.tasks: list[Task] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        subjects = self._bus.subjects
        subscriptions = [
            await self._bus.subscribe(subjects.task(self._worker_id), self._on_task),
            await self._bus.subscribe(subjects.ping(self._worker_id), self._on_ping),
            await self._bus.subscribe(subjects.ping_any, self._on_ping),
        ]
        await self._bus.settle()
        registration = Registration(self._bus, self._worker_id, self._entry, heartbeat_s=1.0)
        registering = asyncio.create_task(registration.run())
        try:
            yield
        finally:
            await end(registering)
            for subscription in subscriptions:
                await self._bus.unsubscribe(subscription)

    def state(self, **fields: Any) -> WorkerState:
        return WorkerState(worker_id=self._worker_id, epoch_ms=self._epoch_ms, labels=self._labels, **fields)

    def _entry(self) -> WorkerEntry:
        labels = dict.fromkeys(self._labels, HELD)
        types = ("echo", "wait")
        return WorkerEntry(worker_id=self._worker_id, epoch_ms=self._epoch_ms, labels=labels, task_types=types)

    async def _on_task(self, msg: Msg) -> None:
        task = decode_task(msg.data)
        self.tasks.append(task)
        await self._bus.publish(msg.reply, self._answer(task))

    async def _on_ping(self, msg: Msg) -> None:
        await self._bus.publish(msg.reply, encode_state(self.state(outstanding=())))
