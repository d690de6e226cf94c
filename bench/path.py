"""`just bench-path`: what the way of a task costs, beside the least that it could.

HTTP → dispatcher → NATS → worker with a task that takes no time → HTTP, and bare Litestar → NATS → responder →
HTTP, in turn on the same machine in the same run, so that what else the machine does meets both alike.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bench.console import wide_console
from bench.cpu import cpu_s
from bench.generator import Generator, load_generator
from bench.http_load import Leg
from bench.path_plot import plot_path
from bench.path_report import Measured, Side, summarise, table_of, verdicts
from bench.results import new_folder, this_machine, write_results
from bus.command import settings_command
from labelbus.stack.ports import free_ports
from labelbus.stack.process import StackProcess
from labelbus.stack.settings import StackSettings
from labelbus.stack.stack import Stack, running_stack

LABEL: Final = "bench/held"
TASK: Final = msgspec.json.encode({"task_type": "sample_task", "label": LABEL, "parameters_json": {}}).decode()
SLOTS: Final = 256
"""More than connections: no task ever waits, so that the way is measured and not the worker."""


class PathSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What to measure, and for how long."""

    connections: Annotated[
        tuple[Annotated[int, Meta(ge=1)], ...], Meta(description="Connections; may be repeated.")
    ] = (1, 16, 32, 128)
    seconds: Annotated[float, Meta(description="Length of one leg.", gt=0)] = 1.0
    rounds: Annotated[int, Meta(description="Legs of each side at each number of connections.", ge=1)] = 10
    slots: Annotated[int, Meta(description="Tasks that the worker runs at once.", ge=1, le=1000)] = SLOTS
    logsink: Annotated[bool, Meta(description="Run a log sink beside, which costs but is not on the way.")] = False
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING"], Meta(description="Log level of all processes.")] = "INFO"
    results: Annotated[Path, Meta(description="Folder for the results.")] = Path("bench-results")


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """The processes of one side, and where its gateway listens."""

    side: Side
    port: int
    processes: dict[str, StackProcess]

    def cpu_s(self) -> dict[str, float]:
        """CPU of each process so far; of none where the kernel does not tell."""
        spent = {name: cpu_s(process.pid) for name, process in self.processes.items() if process.pid is not None}
        return {name: seconds for name, seconds in spent.items() if seconds is not None}


@asynccontextmanager
async def both_sides(settings: PathSettings, folder: Path) -> AsyncIterator[list[Parts]]:
    """The stack with one worker that holds the label, and the bare gateway with its responder on the same NATS."""
    stack_settings = StackSettings(
        data=folder,
        model_repository=folder / "models",
        http_port=0,
        nats_port=0,
        workers=1,
        capacity=settings.slots,
        slots=settings.slots,
        runtime="simulated",
        simulated_load_ms=0.0,
        converter=False,
        logsink=settings.logsink,
        log_level=settings.log_level,
    )
    async with running_stack(stack_settings, lambda _: None) as stack, AsyncExitStack() as exits:
        (port,) = free_ports((0, ""))
        bare = {
            "gateway": await _started(stack, "gateway", ["--http-port", str(port)], exits),
            "worker": await _started(stack, "responder", [], exits),
            "nats": stack.processes["nats"],
        }
        bus = {
            "gateway": stack.processes["dispatcher-1"],
            "worker": stack.processes["worker-1"],
            "nats": stack.processes["nats"],
        }
        if settings.logsink:
            bus["log sink"] = stack.processes["logsink"]
        yield [
            Parts(side="bare", port=port, processes=bare),
            Parts(side="labelbus", port=int(stack.http_url.rpartition(":")[2]), processes=bus),
        ]


async def _started(stack: Stack, name: str, arguments: list[str], exits: AsyncExitStack) -> StackProcess:
    env = {key: value for key, value in os.environ.items() if not key.startswith("LABELBUS_")}
    env |= {
        "LABELBUS_NATS_URL": stack.nats_url,
        "LABELBUS_LOG_LEVEL": stack.settings.log_level,
        "LABELBUS_HEALTH_FILE": str(stack.run_folder / f"{name}.health"),
    }
    argv = [sys.executable, "-m", "bench.bare", name, *arguments]
    process = StackProcess(name, argv, stack.run_folder, env=env)
    exits.push_async_callback(process.stop)
    await process.start()
    await process.ready(stack.settings.start_timeout_s)
    return process


async def one_leg(parts: Parts, generator: Generator, *, connections: int, seconds: float) -> Measured:
    """One leg, with the CPU that each process spent on it."""
    before = parts.cpu_s()
    leg = await generator.run(
        Leg(port=parts.port, path="/run-task", body=TASK, connections=connections, seconds=seconds)
    )
    spent = {name: seconds - before.get(name, 0.0) for name, seconds in parts.cpu_s().items()}
    return Measured(
        side=parts.side,
        connections=connections,
        seconds=leg.seconds,
        latencies_ms=leg.latencies_ms,
        cpu_s={**spent, "generator": leg.cpu_s},
    )


async def measure(settings: PathSettings, console: Console) -> list[Measured]:
    """All legs, the sides in turn."""
    measured: list[Measured] = []
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with tempfile.TemporaryDirectory(prefix="labelbus-bench-") as folder:
        async with both_sides(settings, Path(folder)) as sides, load_generator() as generator:
            for parts in sides:  # warm: the label is taken up, code is compiled, connections are open
                await one_leg(parts, generator, connections=16, seconds=min(1.0, settings.seconds))
            legs = [
                (connections, parts)
                for connections in settings.connections
                for number in range(settings.rounds)
                for parts in (sides if number % 2 == 0 else sides[::-1])
            ]
            with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
                shown = bar.add_task("legs", total=len(legs))
                for connections, parts in legs:
                    measured.append(await one_leg(parts, generator, connections=connections, seconds=settings.seconds))
                    bar.update(shown, advance=1, description=f"{parts.side} at {connections}")
    return measured


def run(settings: PathSettings) -> int:
    """Measure, print, and write the results; the exit status."""
    console = wide_console()
    machine = this_machine()
    measured = asyncio.run(measure(settings, console))
    rows = summarise(measured)
    console.print(table_of(rows))
    for verdict in verdicts(measured):
        console.print(f"  {'[green]✓[/]' if verdict.met else '[red]✗[/]'} {verdict.text}")
    folder = new_folder(settings.results, "path")
    write_results(folder / "path.json", settings=settings, machine=machine, results=rows)
    plot_path(rows, folder / "path.svg")
    console.print(f"  {machine.cores} cores, {machine.processor}, load {machine.load_before} before; {folder}")
    return 0


command = settings_command(
    PathSettings, run, name="bench-path", help_text="Measure what the way of a task costs, beside the least it could."
)

if __name__ == "__main__":
    sys.exit(command())
