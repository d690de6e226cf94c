"""The workers' log of tasks, read from the files of the log sink."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from bus.connection import Bus, Msg
from bus.errors import UnavailableError
from bus.messages import LogRecord
from bus.subjects import ALL_ACKS
from logsink.reader import Filter, LogReader

MISS: Final = "LABEL MISS: "
JOIN: Final = "LABEL JOIN: "
COMPLETED: Final = "Task completed in "


class LoggedTask(msgspec.Struct, frozen=True, kw_only=True):
    """One task as its worker logged it; times are milliseconds."""

    task_id: str
    worker: str
    label: str
    hit: bool
    load_ms: float
    run_ms: float


class WorkerLog(msgspec.Struct, frozen=True, kw_only=True):
    """The tasks that workers completed.

    `missed` holds the ids of the tasks that their label was loaded for, `joined` the ids of those that waited for the
    load of another task.
    """

    tasks: list[LoggedTask]
    missed: list[str]
    joined: list[str]


async def read_worker_log(bus: Bus, folder: Path, task_ids: Iterable[str], *, timeout_s: float) -> WorkerLog:
    """Return the workers' log once the sink has written a line about each of these tasks.

    Reads the files again whenever the sink acknowledges a message. Raises `UnavailableError` after `timeout_s`.
    """
    missing = set(task_ids)
    written = asyncio.Event()

    async def on_ack(_: Msg) -> None:
        written.set()

    # The sink acknowledges a message of the stream once it is on disk.
    acks = await bus.subscribe(ALL_ACKS, on_ack)
    await bus.settle()  # every acknowledgement from here on is received
    reader = LogReader(folder, Filter(component="worker"))
    records: list[LogRecord] = []
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                written.clear()
                new = [line.record for line in reader.news() if line.record is not None]
                records += new
                missing.difference_update(record.fields.get("task_id") for record in new if _is_task(record))
                if not missing:
                    return worker_log(records)
                await written.wait()
    except TimeoutError as exc:
        raise UnavailableError(
            f"the log sink has written no line about {len(missing)} tasks within {timeout_s:.0f} s; see {folder}"
        ) from exc
    finally:
        await bus.unsubscribe(acks)


def worker_log(records: Iterable[LogRecord]) -> WorkerLog:
    """Collect tasks, misses and joined loads from records of workers."""
    tasks: list[LoggedTask] = []
    missed: list[str] = []
    joined: list[str] = []
    for record in records:
        if record.event.startswith(MISS):
            missed.append(str(record.fields["task_id"]))
        elif record.event.startswith(JOIN):
            joined.append(str(record.fields["task_id"]))
        elif _is_task(record):
            tasks.append(msgspec.convert({**record.fields, "worker": record.id}, _TaskFields).logged())
    return WorkerLog(tasks=tasks, missed=missed, joined=joined)


class _TaskFields(msgspec.Struct, frozen=True, kw_only=True):
    task_id: str
    worker: str
    label: str
    label_hit: bool
    load_ms: float
    run_ms: float

    def logged(self) -> LoggedTask:
        return LoggedTask(
            task_id=self.task_id,
            worker=self.worker,
            label=self.label,
            hit=self.label_hit,
            load_ms=self.load_ms,
            run_ms=self.run_ms,
        )


def _is_task(record: LogRecord) -> bool:
    return record.event.startswith(COMPLETED)
