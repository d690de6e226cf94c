"""Producers: send what was planned, and write down what came of it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import msgspec

from bench.arrivals import Planned
from labelbus.client import AsyncClient, ProblemError


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One request and its answer; `code` is empty if there was a result. Times are as the answer says, milliseconds.

    `missed` is what the worker's log says: its label was loaded for it.
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


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What every task does, under each of the labels."""

    task_type: str
    parameters: dict[str, Any]
    labels: tuple[str, ...]


class Producers:
    """Send tasks and keep what came of them in `asked`; `told` is called after each."""

    def __init__(self, client: AsyncClient, work: Work, told: Callable[[], None]) -> None:
        self._client = client
        self._work = work
        self._told = told
        self._began = time.perf_counter()
        self.asked: list[Asked] = []

    async def closed(self, plans: Sequence[Sequence[Planned]], time_scale: float) -> None:
        """One producer a plan, each of which waits for its answer, and then as long as it was told to."""

        async def produce(plan: Sequence[Planned]) -> None:
            for planned in plan:
                await self._ask(planned.label)
                await asyncio.sleep(planned.wait_s * time_scale)

        self._began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for plan in plans:
                tasks.create_task(produce(plan))

    async def open(self, plan: Sequence[Planned], time_scale: float) -> None:
        """Each request at its time; a late start of one does not delay those after it."""
        self._began = time.perf_counter()
        at_s = 0.0
        async with asyncio.TaskGroup() as tasks:
            for planned in plan:
                at_s += planned.wait_s * time_scale
                await asyncio.sleep(at_s - (time.perf_counter() - self._began))
                tasks.create_task(self._ask(planned.label))

    async def _ask(self, label: int) -> None:
        sent = time.perf_counter()
        try:
            result = await self._client.run_task(self._work.task_type, self._work.labels[label], self._work.parameters)
        except (ProblemError, httpx.HTTPError) as exc:
            code = exc.code if isinstance(exc, ProblemError) else type(exc).__name__
            worker = exc.worker if isinstance(exc, ProblemError) else ""
            asked = Asked(
                label=label, sent_s=sent - self._began, completion_ms=_since_ms(sent), worker=worker, code=code
            )
        else:
            asked = Asked(
                label=label,
                sent_s=sent - self._began,
                completion_ms=_since_ms(sent),
                task_id=result.task_id,
                worker=result.worker,
                route=result.route,
                queue_ms=result.queue_ms,
                load_ms=result.load_ms,
                run_ms=result.run_ms,
            )
        self.asked.append(asked)
        self._told()


def _since_ms(start: float) -> float:
    return (time.perf_counter() - start) * 1000
