"""Records in the stream, and what the sink made of them."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bus.codec import encode_records
from bus.connection import Bus
from bus.messages import LogRecord
from bus.settings import BusSettings
from logsink.settings import LogsinkSettings

DEADLINE_S = 60


@pytest.fixture
def sink_settings(settings: BusSettings, tmp_path: Path) -> LogsinkSettings:
    return of_bus(settings, tmp_path)


def of_bus(settings: BusSettings, folder: Path, **more: Any) -> LogsinkSettings:
    """Settings of a sink on the bus of a test."""
    return LogsinkSettings(
        nats_url=settings.nats_url,
        prefix=settings.prefix,
        bucket=settings.bucket,
        log_stream=settings.log_stream,
        log_folder=folder / "logs",
        **more,
    )


def payload(*numbers: int, worker: str = "w1") -> bytes:
    """One message of records with these numbers."""
    return encode_records(
        [
            LogRecord(
                time="2026-11-03T12:00:00.000000Z",
                level="INFO",
                component="worker",
                id=worker,
                event="counted",
                fields={"number": number},
            )
            for number in numbers
        ]
    )


async def publish(bus: Bus, numbers: range, *, worker: str = "w1", each: int = 1) -> None:
    """Put numbered records into the stream, `each` to a message."""
    subject = bus.subjects.log("worker", worker)
    acks = []
    for start in range(numbers.start, numbers.stop, each):
        data = payload(*range(start, min(start + each, numbers.stop)), worker=worker)
        acks.append(await bus.js.publish_async(subject, data))
        if len(acks) >= 500:
            await asyncio.wait_for(asyncio.gather(*acks), DEADLINE_S)
            acks.clear()
    await asyncio.wait_for(asyncio.gather(*acks), DEADLINE_S)


def written(folder: Path, name: str = "worker.w1") -> list[Any]:
    """The numbers of the whole records of one source that are on the disk, in the order of the files."""
    lines = b"".join(path.read_bytes() for path in sorted((folder / name).glob("*.jsonl"))).split(b"\n")
    return [json.loads(line)["fields"].get("number") for line in lines[:-1]]


async def until(condition: Callable[[], object]) -> None:
    """Return once the condition holds; it is about files, which tell nobody when they change."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
