"""A real gateway on a real port, and workers beside it, on a real NATS."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import msgspec
import pytest
from loguru import logger

from bus.component import Component
from bus.connection import Bus, connect
from bus.errors import LoadError, UnknownModelError, WorkerError
from bus.logs import LogShipper
from bus.quick_log import QuickLog
from bus.settings import BusSettings
from dispatcher.__main__ import serve, wire
from dispatcher.settings import DispatcherSettings
from labelbus.stack.ports import free_ports
from worker.handlers import embed_texts, infer, sample_task
from worker.runtimes.simulated import SimulatedRuntime
from worker.service import WorkerService
from worker.settings import WorkerSettings
from worker.tasks import TaskContext, TaskType, task_type, task_types_of

DEADLINE_S = 30


class Runtime(SimulatedRuntime):
    """A simulated runtime that fails for labels whose names begin with `unknown` or `broken`."""

    async def load(self, label: str) -> None:
        if label.startswith("unknown"):
            raise UnknownModelError(f"no model {label} in the model repository")
        if label.startswith("broken"):
            raise LoadError(f"the graph of {label} is broken")
        await super().load(label)


class Gate:
    """Task types of the tests: `wait` (until `open` is set), `misbehave` and `echo`."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.entered: asyncio.Queue[str] = asyncio.Queue()
        self.left: asyncio.Queue[str] = asyncio.Queue()

    def task_types(self) -> dict[str, TaskType]:
        @task_type("wait")
        async def wait(context: TaskContext, parameters: Any) -> dict[str, str]:
            self.entered.put_nowait(context.task_id)
            await self.open.wait()
            self.left.put_nowait(context.task_id)
            return {"task": context.task_id}

        @task_type("misbehave")
        async def misbehave(context: TaskContext, parameters: Any) -> Any:
            if parameters == {"how": "large"}:
                return "x" * (2 * 1024 * 1024)
            if parameters == {"how": "handler"}:
                raise WorkerError("the handler gave up")
            raise ValueError("the handler is wrong")

        @task_type("echo")
        async def echo(context: TaskContext, parameters: Any) -> Any:
            return parameters

        return {kind.name: kind for kind in (wait, misbehave, echo)}

    async def next_entered(self) -> str:
        return await asyncio.wait_for(self.entered.get(), DEADLINE_S)


class Worker:
    """A worker in this process with a connection of its own, which can be cut."""

    def __init__(self, own: Bus, settings: WorkerSettings, gate: Gate) -> None:
        self.bus = own
        self._gate = gate
        types = {**task_types_of([embed_texts, infer, sample_task]), **gate.task_types()}
        self.service = WorkerService(own, settings, settings.id, Runtime(0), types, log_completed=print)
        self.stopping = asyncio.Event()
        self.ready = asyncio.Event()
        self.running = asyncio.create_task(self.service.run(self.stopping, self.ready))

    async def stop(self) -> None:
        self._gate.open.set()
        self.stopping.set()
        await asyncio.wait_for(asyncio.gather(self.running, return_exceptions=True), DEADLINE_S)

    async def die(self) -> None:
        """Break the connection without a word, as SIGKILL does."""
        await self.bus.nc.close()


class Gateway:
    """A dispatcher in this process, and a client of it."""

    def __init__(
        self, bus: Bus, settings: BusSettings, own: Bus, asked: DispatcherSettings, stack: contextlib.AsyncExitStack
    ) -> None:
        self.bus = bus
        self.settings = settings
        self.gate = Gate()
        self.workers: dict[str, Worker] = {}
        self.component = component(own, asked)
        dispatcher = wire(self.component, asked)
        self.service = dispatcher.service
        self.serving = asyncio.create_task(serve(dispatcher))
        self.port = asked.http_port
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.AsyncClient(base_url=self.url, timeout=DEADLINE_S)
        self._stack = stack

    async def start(self) -> None:
        ready = asyncio.create_task(self.component.ready.wait())
        await asyncio.wait((ready, self.serving), timeout=DEADLINE_S, return_when=asyncio.FIRST_COMPLETED)
        assert ready.done(), self.serving

    async def stop(self) -> None:
        self.gate.open.set()
        self.component.stopping.set()
        await asyncio.wait_for(self.serving, DEADLINE_S)

    async def add_worker(self, name: str = "w1", **fields: Any) -> Worker:
        own = await self._stack.enter_async_context(connect(self.settings, name=name))
        asked = {**msgspec.structs.asdict(self.settings), "worker_id": name, "window": 0, **fields}
        worker = self.workers[name] = Worker(own, WorkerSettings(**asked), self.gate)
        self._stack.push_async_callback(worker.stop)
        async with asyncio.timeout(DEADLINE_S):
            await worker.ready.wait()
        await until(lambda: name in [view.worker_id for view in self.service.router.workers()])
        return worker

    async def run(self, task_type: str = "echo", label: str = "a", **fields: Any) -> httpx.Response:
        body = {"task_type": task_type, "label": label, "parameters_json": "{}", **fields}
        return await self.http.post("/run-task", json=body)

    def begin(self, task_type: str = "wait", label: str = "a", **fields: Any) -> "asyncio.Task[httpx.Response]":
        return asyncio.create_task(self.run(task_type, label, **fields))

    async def problem(self, response: httpx.Response, status: int, code: str) -> dict[str, Any]:
        """Return the problem details of the response, once their form is checked."""
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "application/problem+json"
        problem: dict[str, Any] = response.json()
        assert problem["code"] == code, problem
        assert problem["status"] == status
        assert problem["type"] == f"urn:labelbus:problem:{code}"
        assert problem["title"]
        assert problem["detail"]
        return problem


MakeGateway = Callable[..., Any]


@pytest.fixture
async def make_gateway(bus: Bus, settings: BusSettings) -> AsyncIterator[MakeGateway]:
    async with contextlib.AsyncExitStack() as stack:

        async def make(on: BusSettings = settings, **fields: Any) -> Gateway:
            own = await stack.enter_async_context(connect(on, name="dispatcher"))
            asked = {**msgspec.structs.asdict(on), "dispatcher_id": "d1", "http_port": free_ports((0, ""))[0], **fields}
            gateway = Gateway(bus, on, own, DispatcherSettings(**asked), stack)
            await stack.enter_async_context(gateway.http)
            await gateway.start()
            stack.push_async_callback(gateway.stop)
            return gateway

        yield make


@pytest.fixture
async def gateway(make_gateway: MakeGateway) -> Gateway:
    made: Gateway = await make_gateway()
    return made


@pytest.fixture
async def pool(gateway: Gateway) -> Gateway:
    """A gateway with one worker of one slot."""
    await gateway.add_worker()
    return gateway


@pytest.fixture
def log_records() -> Iterator[list[Any]]:
    """Loguru's records of what is logged during the test."""
    records: list[Any] = []
    sink = logger.add(lambda message: records.append(message.record), level="DEBUG")
    yield records
    logger.remove(sink)


async def until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds; for conditions without an event."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def component(bus: Bus, settings: DispatcherSettings) -> Component:
    """Return a component on this connection whose log records stay in the buffer."""
    shipper = LogShipper(bus, component="dispatcher", component_id=settings.id)
    quick_log = QuickLog(settings, component="dispatcher", component_id=settings.id, shipper=shipper)
    return Component(bus, settings.id, shipper, quick_log)
