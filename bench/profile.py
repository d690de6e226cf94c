"""`just profile`: a CPU profile of the dispatcher under load.

The profile is written by `labelbus dispatcher --cpu-prof` (cProfile). Profiling slows every call, so the profile
shows shares of time, not absolute costs; `just bench-path` measures those.
"""

import asyncio
import pstats
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from bench.console import wide_console
from bench.generator import load_generator
from bench.http_load import Leg, LegResult
from bench.path.settings import SLOTS, TASK
from bench.results import new_folder
from bus.command import settings_command
from labelbus.stack.settings import StackSettings
from labelbus.stack.stack import running_stack


class ProfileSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The load, and the functions to show."""

    connections: Annotated[int, Meta(description="Connections of the load.", ge=1)] = 32
    seconds: Annotated[float, Meta(description="Length of the load.", gt=0)] = 5.0
    sort: Annotated[Literal["tottime", "cumulative"], Meta(description="Order of the functions.")] = "tottime"
    lines: Annotated[int, Meta(description="Functions shown.", ge=1)] = 40
    results: Annotated[Path, Meta(description="Folder for the profile.")] = Path("bench-results")


async def load(settings: ProfileSettings, file: Path) -> LegResult:
    """Load a dispatcher that writes its profile to `file`."""
    with tempfile.TemporaryDirectory(prefix="labelbus-bench-") as folder:
        stack_settings = StackSettings(
            data=Path(folder),
            model_repository=Path(folder) / "models",
            http_port=0,
            nats_port=0,
            workers=1,
            capacity=SLOTS,
            slots=SLOTS,
            runtime="simulated",
            simulated_load_ms=0.0,
            converter=False,
            logsink=False,
            cpu_prof=file.resolve(),
        )
        async with running_stack(stack_settings, lambda _: None) as stack, load_generator() as generator:
            port = int(stack.http_url.rpartition(":")[2])
            leg = Leg(
                port=port, path="/run-task", bodies=(TASK,), connections=settings.connections, seconds=settings.seconds
            )
            return await generator.run(leg)


def run(settings: ProfileSettings) -> int:
    """Profile and print; return the exit status."""
    console = wide_console()
    file = new_folder(settings.results, "profile") / "dispatcher.pstats"
    with console.status(f"{settings.seconds:g} s of load …"):
        result = asyncio.run(load(settings, file))
    pstats.Stats(str(file)).strip_dirs().sort_stats(settings.sort).print_stats(settings.lines)
    console.print(f"{len(result.latencies_ms):,} tasks; the whole profile: python -m pstats {file}", soft_wrap=True)
    return 0


command = settings_command(
    ProfileSettings, run, name="profile", help_text="Make a CPU profile of the dispatcher under load."
)

if __name__ == "__main__":
    sys.exit(command())
