"""A worker that tests drive as a dispatcher would, its runtime simulated and its tasks held at a gate."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import msgspec
import nats.js.errors
import pytest
from nats.js.kv import KeyValue

from bus.codec import decode_result, decode_state, encode_task
from bus.connection import Bus, Msg
from bus.errors import NoRespondersError, RequestTimeoutError
from bus.messages import Result, Status, Task, WorkerState
from worker.completed import Completed
from worker.handlers import embed_texts, infer, sample_task
from worker.runtimes.protocol import LabelsLost
from worker.runtimes.simulated import SimulatedRuntime
from worker.service import WorkerService
from worker.settings import WorkerSettings
from worker.tasks import TaskContext, TaskType, task_type, task_types_of

DEADLINE_S = 30


class Runtime(SimulatedRuntime):
    """A simulated runtime that can lose its labels and fail to load them."""

    def __init__(self) -> None:
        super().__init__(0)
        self.failures: dict[str, Exception] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.loads: list[str] = []
        self.stopped = False
        self._lost: LabelsLost | None = None

    def on_labels_lost(self, callback: LabelsLost) -> None:
        self._lost = callback

    def lose(self, *labels: str) -> None:
        assert self._lost is not None
        self._lost(frozenset(labels))

    async def load(self, label: str) -> None:
        self.loads.append(label)
        await self.gate.wait()
        if label in self.failures:
            raise self.failures[label]

    async def stop(self) -> None:
        self.stopped = True


class Reluctant(Runtime):
    """Does not come up."""

    def __init__(self) -> None:
        super().__init__()
        self.starting = asyncio.Event()

    async def start(self) -> None:
        self.starting.set()
        await asyncio.Event().wait()


class Gate:
    """Task types that wait until they are let go, and others that misbehave."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.entered: asyncio.Queue[str] = asyncio.Queue()

    def task_types(self) -> dict[str, TaskType]:
        @task_type("wait")
        async def wait(context: TaskContext, parameters: Any) -> dict[str, str]:
            self.entered.put_nowait(context.task_id)
            await self.open.wait()
            return {"task": context.task_id}

        @task_type("misbehave")
        async def misbehave(context: TaskContext, parameters: str) -> Any:
            match parameters:
                case "raise":
                    raise ValueError("the handler is wrong")
                case "exit":
                    raise SystemExit(3)
                case "unencodable":
                    return object()
                case "large":
                    return "x" * (2 * 1024 * 1024)
                case "left":
                    return context.timeout_s

        return {kind.name: kind for kind in (wait, misbehave)}


class Worker:
    """A running worker, and what a dispatcher would do with it."""

    def __init__(self, bus: Bus, own: Bus, settings: WorkerSettings) -> None:
        self.bus = bus
        self.settings = settings
        self.gate = Gate()
        self.runtime = Runtime()
        types = {**task_types_of([embed_texts, infer, sample_task]), **self.gate.task_types()}
        self.completed: list[dict[str, Any]] = []
        self.service = WorkerService(own, settings, settings.id, self.runtime, types, log_completed=self._log)
        self.stopping = asyncio.Event()
        self.ready = asyncio.Event()
        self.states: list[WorkerState] = []
        self.told = asyncio.Event()

    async def start(self) -> None:
        await self.bus.subscribe(self.bus.subjects.state("w"), self._on_state)
        await self.bus.settle()
        self.running = asyncio.create_task(self.service.run(self.stopping, self.ready))
        async with asyncio.timeout(DEADLINE_S):
            await self.ready.wait()

    def _log(self, entry: Completed) -> None:
        self.completed.append({"event": entry.event(), **msgspec.to_builtins(entry.fields())})

    async def _on_state(self, msg: Msg) -> None:
        self.states.append(decode_state(msg.data))
        self.told.set()

    async def state(self, wanted: Callable[[WorkerState], bool]) -> WorkerState:
        """The next state that was told and fits."""
        async with asyncio.timeout(DEADLINE_S):
            while not (self.states and wanted(self.states[-1])):
                self.told.clear()
                await self.told.wait()
        return self.states[-1]

    async def send(
        self, task_id: str = "t", kind: str = "sample_task", label: str = "a", parameters: object = None, **fields: Any
    ) -> Result:
        return await self.send_to(self.bus.subjects.task("w"), task_id, kind, label, parameters, **fields)

    async def send_to(
        self, subject: str, task_id: str, kind: str, label: str, parameters: object, **fields: Any
    ) -> Result:
        raw = msgspec.json.encode({} if parameters is None else parameters)
        task = Task(task_id=task_id, task_type=kind, label=label, parameters=raw, **fields)
        msg = await self.bus.request(subject, encode_task(task), timeout_s=DEADLINE_S)
        return decode_result(msg.data)

    def begin(self, task_id: str, label: str = "a") -> "asyncio.Task[Result]":
        return asyncio.create_task(self.send(task_id, "wait", label))

    async def entered(self) -> str:
        return await asyncio.wait_for(self.gate.entered.get(), DEADLINE_S)

    async def ping(self) -> WorkerState:
        return decode_state((await self.bus.request(self.bus.subjects.ping("w"), timeout_s=DEADLINE_S)).data)

    async def members(self) -> bool:
        """True if somebody listens to the queue group's subject; asked with bytes that nobody takes for a task."""
        try:
            await self.bus.request(self.bus.subjects.task_any, b"\xff", timeout_s=0.3)
        except NoRespondersError:
            return False
        except RequestTimeoutError:
            return True
        raise AssertionError("bytes that are no task were answered")

    async def entry(self) -> dict[str, Any]:
        kv = await self.bus.js.key_value(self.bus.subjects.bucket)
        entry: dict[str, Any] = json.loads((await kv.get("worker.w")).value or b"")
        return entry

    async def entry_with(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        kv = await self.bus.js.key_value(self.bus.subjects.bucket)
        watcher = await kv.watch("worker.w")
        try:
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    update = await watcher._updates.get()
                    if (
                        isinstance(update, KeyValue.Entry)
                        and update.value
                        and wanted(entry := json.loads(update.value))
                    ):
                        return dict(entry)
        finally:
            await watcher.stop()

    async def stop(self) -> None:
        self.gate.open.set()
        self.runtime.gate.set()
        self.stopping.set()
        await asyncio.wait_for(self.running, DEADLINE_S)


MakeWorker = Callable[..., Any]


def filler(size: int) -> TaskType:
    @task_type("fill")
    async def fill(context: TaskContext, parameters: Any) -> str:
        return "x" * size

    return fill


async def retried(worker: Worker, label: str) -> None:
    while (await worker.send(label=label)).status is Status.BUSY:
        pass


async def keys(kv: Any) -> list[str]:
    try:
        found: list[str] = await kv.keys()
    except nats.js.errors.NoKeysError:
        return []
    return found


async def truth(value: bool) -> bool:
    return value


async def negated(answer: Any) -> bool:
    return not await answer


async def poll(condition: Callable[[], Any]) -> None:
    """Ask again and again; for what nobody tells."""
    async with asyncio.timeout(DEADLINE_S):
        while not await condition():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)


async def gone(worker: Worker) -> None:
    """No key, and nobody who listens, although its connection is still open."""
    kv = await worker.bus.js.key_value(worker.bus.subjects.bucket)
    assert "worker.w" not in await keys(kv)
    for subject in (worker.bus.subjects.task("w"), worker.bus.subjects.ping("w"), worker.bus.subjects.task_any):
        with pytest.raises(NoRespondersError):
            await worker.bus.request(subject, b"", timeout_s=DEADLINE_S)
    assert worker.runtime.stopped
