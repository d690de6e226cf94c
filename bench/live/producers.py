"""Producers: clients that send the planned requests and keep their answers."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from bench.live.arrivals import Plan, Planned
from bus.errors import LabelbusError, ProblemError
from labelbus.client import TaskResult


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """One request and its answer; `code` is empty if there was a result.

    `completion_ms` is the time from sending to the answer; the other times are those of the answer's headers.
    """

    label: int
    sent_s: float
    completion_ms: float
    task_id: str = ""
    worker: str = ""
    route: str = ""
    queue_ms: float = 0.0
    load_ms: float = 0.0
    run_ms: float = 0.0
    code: str = ""
    missed: bool = False
    """The worker's log says that the label was loaded for this task."""


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """The work of every task, and the labels that it is done under."""

    task_type: str
    parameters: dict[str, Any]
    labels: tuple[str, ...]


class TaskClient(Protocol):
    """A client of labelbus, or of another server of the same tasks."""

    async def run_task(self, task_type: str, label: str, parameters: Mapping[str, Any]) -> TaskResult:
        """Run one task and return its result; raise `LabelbusError`s only."""
        ...


class Producers:
    """Senders of tasks, whose requests are kept in `sent`; `on_answer` is called after each answer."""

    def __init__(self, client: TaskClient, work: Work, on_answer: Callable[[], None]) -> None:
        self._client = client
        self._work = work
        self._on_answer = on_answer
        self._began = time.perf_counter()
        self.sent: list[Sent] = []

    async def run(self, plan: Plan, time_scale: float) -> None:
        """Send all requests of the plan, and return when each has its answer."""
        if plan.open:
            await self._open(plan.open, time_scale)
        else:
            await self._closed(plan.closed, time_scale)

    async def _closed(self, plans: Sequence[Sequence[Planned]], time_scale: float) -> None:
        """Run one producer a plan; each waits for an answer, then for the planned time, before its next request."""

        async def produce(plan: Sequence[Planned]) -> None:
            for planned in plan:
                await self._send(planned.label)
                await asyncio.sleep(planned.wait_s * time_scale)

        self._began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for plan in plans:
                tasks.create_task(produce(plan))

    async def _open(self, plan: Sequence[Planned], time_scale: float) -> None:
        """Send each request at its time; a request that starts late does not delay those after it."""
        self._began = time.perf_counter()
        at_s = 0.0
        async with asyncio.TaskGroup() as tasks:
            for planned in plan:
                at_s += planned.wait_s * time_scale
                await asyncio.sleep(at_s - (time.perf_counter() - self._began))
                tasks.create_task(self._send(planned.label))

    async def _send(self, label: int) -> None:
        started = time.perf_counter()
        sent_s = started - self._began
        try:
            result = await self._client.run_task(self._work.task_type, self._work.labels[label], self._work.parameters)
        except LabelbusError as exc:
            worker = exc.worker if isinstance(exc, ProblemError) else ""
            sent = Sent(label=label, sent_s=sent_s, completion_ms=_since_ms(started), worker=worker, code=exc.code)
        else:
            sent = Sent(
                label=label,
                sent_s=sent_s,
                completion_ms=_since_ms(started),
                task_id=result.task_id,
                worker=result.worker,
                route=result.route,
                queue_ms=result.queue_ms,
                load_ms=result.load_ms,
                run_ms=result.run_ms,
            )
        self.sent.append(sent)
        self._on_answer()


def _since_ms(start: float) -> float:
    return (time.perf_counter() - start) * 1000
