"""`just chaos`: a load on the local stack while its parts are killed, stopped, hung and cut off, and what came of it.

Runtimes are simulated, so that the pool is what is tested. Partitions are relays that stop forwarding while the
connections stand, which is what a network looks like that drops packets.
"""

import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bench.chaos_faults import ChaosStack, Done, Fault, choose
from bench.chaos_load import Load, Outcome
from bench.chaos_report import Verdict, plot, table_of, verdict
from bench.console import wide_console
from bench.results import new_folder, this_machine, write_results
from bus.command import settings_command
from labelbus.stack.ports import free_ports
from labelbus.stack.settings import StackSettings

READY_S: Final = 30.0
LOOK_S: Final = 0.05


class ChaosSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How long, how much load, and how many parts."""

    minutes: Annotated[float, Meta(description="Length of the run.", gt=0)] = 10.0
    rate: Annotated[float, Meta(description="Tasks a second.", gt=0)] = 40.0
    labels: Annotated[int, Meta(description="Labels that are asked for.", ge=1)] = 8
    sleep_ms: Annotated[float, Meta(description="Time of a task.", ge=0)] = 40.0
    deadline_s: Annotated[float, Meta(description="Deadline of a task.", gt=0)] = 30.0
    workers: Annotated[int, Meta(description="Workers.", ge=2)] = 3
    dispatchers: Annotated[int, Meta(description="Dispatchers.", ge=2)] = 2
    pause_s: Annotated[float, Meta(description="Between faults, at the most.", gt=0)] = 4.0
    seed: Annotated[int, Meta(description="Seed of the faults.")] = 1
    results: Annotated[Path, Meta(description="Folder for the results.")] = Path("bench-results")


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """All that happened."""

    verdict: Verdict
    faults: list[Done]
    outcomes: list[Outcome]
    whole: bool
    """At the end every dispatcher knew every worker."""


async def run_chaos(settings: ChaosSettings, folder: Path, progress: Progress) -> Run:
    """The run, on a stack with its data in `folder`: calm for a tenth of the time at both ends, faults between."""
    stack_settings = StackSettings(
        data=folder / "data",
        model_repository=folder / "models",
        workers=settings.workers,
        dispatchers=settings.dispatchers,
        capacity=4,
        slots=2,
        runtime="simulated",
        simulated_load_ms=100.0,
        converter=False,
    )
    for made in (stack_settings.data / "run", stack_settings.data / "logs", stack_settings.model_repository):
        made.mkdir(parents=True)
    http_port, nats_port = free_ports((0, ""), (0, ""))
    stack = ChaosStack(stack_settings, http_port, nats_port)
    try:
        await stack.open()
        await stack.start(lambda _: None)
        stack.find_gateways()
        await _whole(stack)
        return await _run(settings, stack, progress)
    finally:
        await stack.close()


async def _run(settings: ChaosSettings, stack: ChaosStack, progress: Progress) -> Run:
    length_s = settings.minutes * 60
    calm_until, calm_from = length_s * 0.1, length_s * 0.9
    names = [f"chaos/label-{number}" for number in range(settings.labels)]
    load = Load(
        list(stack.gateways.values()),
        names,
        rate=settings.rate,
        sleep_ms=settings.sleep_ms,
        deadline_s=settings.deadline_s,
    )
    running = asyncio.create_task(load.run())
    shown = progress.add_task("calm", total=length_s)
    showing = asyncio.create_task(_show(progress, shown, load))
    rng = random.Random(settings.seed)
    faults: list[Done] = []
    try:
        await asyncio.sleep(calm_until)
        while load.now_s < calm_from:
            fault = choose(rng, list(stack.processes))
            progress.update(shown, description=f"{fault.kind} {fault.part}")
            faults.append(await _cause(stack, fault, load))
            progress.update(shown, description="…")
            await asyncio.sleep(rng.uniform(0.2, 1.0) * settings.pause_s)
        progress.update(shown, description="calm")
        settled = load.now_s
        await asyncio.sleep(max(0.0, length_s - settled))
    finally:
        load.stop()
        outcomes = await running
        showing.cancel()
    return Run(
        verdict=verdict(outcomes, load.sent, calm_until, settled),
        faults=faults,
        outcomes=outcomes,
        whole=await _whole(stack),
    )


async def _cause(stack: ChaosStack, fault: Fault, load: Load) -> Done:
    began = load.now_s
    await stack.cause(fault)
    return Done(kind=fault.kind, part=fault.part, began=began, ended=load.now_s)


async def _show(progress: Progress, shown: "object", load: Load) -> None:
    while True:
        progress.update(shown, completed=load.now_s)  # type: ignore[arg-type]  # rich's TaskID is an int with a name
        await asyncio.sleep(0.5)


async def _whole(stack: ChaosStack) -> bool:
    """True once every dispatcher knows every worker; False if that does not come about."""
    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        try:
            known = [(await gateway.call("GET", "/workers")).json()["workers"] for gateway in stack.gateways.values()]
            if all(workers == sorted(stack.worker_ids) for workers in known):
                return True
        except (OSError, EOFError, TimeoutError):
            pass
        await asyncio.sleep(LOOK_S)
    return False


def run(settings: ChaosSettings) -> int:
    """The run and its report; 0 if nothing was lost or wrong and the pool was whole at the end."""
    console = Console(stderr=True)
    machine = this_machine()
    columns = (TextColumn("{task.description:>28}"), BarColumn(), TimeRemainingColumn())
    with tempfile.TemporaryDirectory() as folder, Progress(*columns, console=console) as progress:
        result = asyncio.run(run_chaos(settings, Path(folder), progress))
    results = new_folder(settings.results, "chaos")
    write_results(results / "chaos.json", settings=settings, machine=machine, results=result)
    plot(result.outcomes, result.faults, results / "chaos.svg")
    wide_console().print(table_of(result.verdict, result.faults))
    console.print(f"{results}/chaos.json, {results}/chaos.svg")
    if not result.whole:
        console.print("at the end not every dispatcher knew every worker")
    return 0 if not (result.verdict.lost or result.verdict.wrong) and result.whole else 1


command = settings_command(
    ChaosSettings, run, name="chaos", help_text="Load on a stack whose parts are killed, stopped, hung and cut off."
)

if __name__ == "__main__":
    sys.exit(command())
