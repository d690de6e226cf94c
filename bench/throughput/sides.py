"""The sides of the benchmark: programs that embed the same tasks, and the processes that do it."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

import msgspec
import psutil

from bench.cpu import cpu_s as process_cpu_s
from bench.generator import Generator, load_generator
from bench.http_load import STOP_S, Leg, LegResult
from bench.throughput.in_process import InProcessLeg
from bench.throughput.triton_client import TritonLeg
from bus.errors import UnavailableError

Tasks = Sequence[tuple[str, ...]]
Pids = Mapping[str, int]
"""Process ids by the names under which CPU time is told; processes that these started count with them."""


class Side(Protocol):
    """One way to have texts embedded."""

    name: str
    pids: Pids

    async def run(self, tasks: Tasks, clients: int, seconds: float) -> LegResult:
        """Run a leg; raise `UnavailableError` if a task fails."""


class HttpSide:
    """A server on this machine that takes tasks over HTTP, in the bodies that `body_of` makes."""

    def __init__(
        self,
        name: str,
        pids: Pids,
        generator: Generator,
        *,
        port: int,
        path: str,
        body_of: Callable[[Sequence[str]], str],
    ) -> None:
        self.name = name
        self.pids = pids
        self._generator = generator
        self._port = port
        self._path = path
        self._body_of = body_of

    async def run(self, tasks: Tasks, clients: int, seconds: float) -> LegResult:
        """See `Side`."""
        bodies = tuple(self._body_of(task) for task in tasks)
        stop_s = max(STOP_S, 2 * seconds)
        return await self._generator.run(
            Leg(port=self._port, path=self._path, bodies=bodies, connections=clients, seconds=seconds, stop_s=stop_s)
        )


class InProcessSide:
    """The graph in a process of its own; only tasks of several texts are told apart by `by_length`."""

    def __init__(self, name: str, generator: Generator, *, max_rows: int, by_length: bool) -> None:
        self.name = name
        self.pids: Pids = {"process": generator.pid}
        self._generator = generator
        self._max_rows = max_rows
        self._by_length = by_length

    async def run(self, tasks: Tasks, clients: int, seconds: float) -> LegResult:
        """See `Side`."""
        leg = InProcessLeg(
            tasks=tuple(tasks),
            clients=clients,
            seconds=seconds,
            stop_s=max(STOP_S, 2 * seconds),
            max_rows=self._max_rows,
            by_length=self._by_length,
        )
        return await self._generator.run(leg)


class TritonSide:
    """tritonclient in a process of its own, straight to the worker's Triton."""

    def __init__(self, generator: Generator, triton_pids: Pids, *, max_rows: int) -> None:
        self.name = "tritonclient"
        self.pids: Pids = {"client": generator.pid, **triton_pids}
        self._generator = generator
        self._max_rows = max_rows

    async def run(self, tasks: Tasks, clients: int, seconds: float) -> LegResult:
        """See `Side`."""
        stop_s = max(STOP_S, 2 * seconds)
        leg = TritonLeg(tasks=tuple(tasks), clients=clients, seconds=seconds, stop_s=stop_s, max_rows=self._max_rows)
        return await self._generator.run(leg)


def local_triton(worker_pid: int) -> tuple[int, str]:
    """Return the process id and the gRPC target of the Triton that this worker started."""
    for process in psutil.Process(worker_pid).children(recursive=True):
        options = dict(part.partition("=")[::2] for part in process.cmdline() if part.startswith("--"))
        if address := options.get("--grpc-address"):
            return process.pid, f"{address}:{options['--grpc-port']}"
    raise UnavailableError("the worker has no Triton of its own: `labelbus doctor` tells what is missing")


def cpu_s(pids: Pids) -> dict[str, float]:
    """Return the CPU seconds so far of each process with all that it started; of a nested pid its own share only.

    Names that differ by a number at their end count as one.
    """
    spent: dict[str, float] = defaultdict(float)
    named = set(pids.values())
    for name, pid in pids.items():
        processes = _with_children(pid, named - {pid})
        spent[name.rstrip("0123456789")] += sum(cpu for each in processes if (cpu := process_cpu_s(each)) is not None)
    return dict(spent)


def _with_children(pid: int, others: set[int]) -> list[int]:
    try:
        children = [child.pid for child in psutil.Process(pid).children()]
    except psutil.NoSuchProcess:
        return []
    return [pid, *(each for child in children if child not in others for each in _with_children(child, others))]


@asynccontextmanager
async def model_generators(
    repository: Path, label: str, *, threads: int, target: str
) -> AsyncIterator[tuple[Generator, Generator]]:
    """Run the processes of the graph and of tritonclient for the time of the block."""
    async with AsyncExitStack() as exits:
        graph = await exits.enter_async_context(
            load_generator("bench.throughput.in_process", str(repository), label, str(threads))
        )
        client = await exits.enter_async_context(
            load_generator("bench.throughput.triton_client", str(repository), label, target)
        )
        yield graph, client


def task_body(label: str) -> Callable[[Sequence[str]], str]:
    """Return the function that makes the body of `POST /run-task` of texts."""

    def body(texts: Sequence[str]) -> str:
        return msgspec.json.encode(
            {"task_type": "embed_texts", "label": label, "parameters_json": {"texts": texts}}
        ).decode()

    return body
