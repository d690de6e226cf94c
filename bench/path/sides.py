"""The processes of the two sides: the stack, and the bare gateway with its responder, on one NATS server."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from bench.cpu import cpu_s
from bench.path.report import SideName
from bench.path.settings import PathSettings
from labelbus.stack.ports import free_ports
from labelbus.stack.process import StackProcess
from labelbus.stack.settings import StackSettings
from labelbus.stack.stack import Stack, running_stack


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """The processes of one side, and the port of its gateway."""

    name: SideName
    port: int
    processes: dict[str, StackProcess]

    def cpu_s(self) -> dict[str, float]:
        """Return the CPU time of each process so far, without those that the system does not tell it of."""
        spent = {name: cpu_s(process.pid) for name, process in self.processes.items() if process.pid is not None}
        return {name: seconds for name, seconds in spent.items() if seconds is not None}


@asynccontextmanager
async def both_sides(settings: PathSettings, folder: Path) -> AsyncIterator[list[Side]]:
    """Run a stack with one worker, and the bare gateway with its responder on the same NATS server."""
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
            Side(name="bare", port=port, processes=bare),
            Side(name="labelbus", port=int(stack.http_url.rpartition(":")[2]), processes=bus),
        ]


async def _started(stack: Stack, name: str, arguments: list[str], exits: AsyncExitStack) -> StackProcess:
    env = {key: value for key, value in os.environ.items() if not key.startswith("LABELBUS_")}
    env |= {
        "LABELBUS_NATS_URL": stack.nats_url,
        "LABELBUS_LOG_LEVEL": stack.settings.log_level,
        "LABELBUS_HEALTH_FILE": str(stack.run_folder / f"{name}.health"),
    }
    argv = [sys.executable, "-m", "bench.path.bare", name, *arguments]
    process = StackProcess(name, argv, stack.run_folder, env=env)
    exits.push_async_callback(process.stop)
    await process.start()
    await process.ready(stack.settings.start_timeout_s)
    return process
