"""`sample_task`: takes the time that it is told to. For benchmarks and profiling."""

import asyncio
import time
from typing import Annotated

import msgspec
from msgspec import Meta

from worker.tasks import TaskContext, task_type

MAX_MS = 3_600_000


class Sample(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long to sleep, and how long to keep a core busy after it; milliseconds."""

    sleep_ms: Annotated[float, Meta(ge=0, le=MAX_MS)] = 0.0
    busy_ms: Annotated[float, Meta(ge=0, le=MAX_MS)] = 0.0


class Sampled(msgspec.Struct, frozen=True, kw_only=True):
    """What it took, milliseconds."""

    label: str
    elapsed_ms: float


@task_type("sample_task")
async def sample_task(context: TaskContext, parameters: Sample) -> Sampled:
    """Sleep and compute as told; the label is loaded like any other task's."""
    started = time.perf_counter()
    if parameters.sleep_ms:
        await asyncio.sleep(parameters.sleep_ms / 1000)
    if parameters.busy_ms:
        await asyncio.to_thread(_spin, parameters.busy_ms / 1000)
    return Sampled(label=context.label, elapsed_ms=(time.perf_counter() - started) * 1000)


def _spin(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
