"""`sample_task`: sleeps and computes as long as it is told. For benchmarks and profiling."""

import asyncio
import time
from typing import Annotated, Any, Final, Self

import msgspec
from msgspec import Meta

from worker.tasks import TaskContext, task_type

MAX_MS: Final = 3_600_000


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Time to sleep, and then time to keep a core busy, in milliseconds."""

    sleep_ms: Annotated[float, Meta(ge=0, le=MAX_MS)] = 0.0
    busy_ms: Annotated[float, Meta(ge=0, le=MAX_MS)] = 0.0


class Sample:
    """Parameters of the task: its times, and any further fields, which it gives back as they are."""

    __slots__ = ("further", "times")

    def __init__(self, times: Times, further: dict[str, Any]) -> None:
        self.times: Final = times
        self.further: Final = further

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Split a JSON object into the times and the rest; raises `msgspec.ValidationError` for times that are none."""
        times = msgspec.convert(value, Times)
        for name in Times.__struct_fields__:
            value.pop(name, None)
        return cls(times, value)


@task_type("sample_task")
async def sample_task(context: TaskContext, parameters: Sample) -> dict[str, Any]:
    """Sleep and compute; return `label`, `elapsed_ms` and the further fields. The label is loaded as for any task."""
    started = time.perf_counter()
    times = parameters.times
    if times.sleep_ms or times.busy_ms:
        await spend(times)
    elapsed_ms = (time.perf_counter() - started) * 1000
    return {**parameters.further, "label": context.label, "elapsed_ms": elapsed_ms}


async def spend(times: Times) -> None:
    """Sleep and compute."""
    if times.sleep_ms:
        await asyncio.sleep(times.sleep_ms / 1000)
    if times.busy_ms:
        await asyncio.to_thread(_spin, times.busy_ms / 1000)


def _spin(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
