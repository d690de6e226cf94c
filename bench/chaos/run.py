"""The chaos run: a calm tenth of the time, faults one after the other, and another calm tenth."""

import asyncio
import random
import time
from pathlib import Path
from typing import Final

import msgspec
from rich.progress import Progress, TaskID

from bench.chaos.faults import DoneFault, Fault, choose
from bench.chaos.load import Load, Outcome
from bench.chaos.report import Verdict, verdict
from bench.chaos.settings import ChaosSettings
from bench.chaos.stack import ChaosStack
from labelbus.stack.ports import free_ports
from labelbus.stack.settings import StackSettings

WHOLE_S: Final = 30.0
"""Time within which every dispatcher must know every worker, at the start and at the end."""
POLL_S: Final = 0.05


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """The faults of a run, its tasks, and the verdict."""

    verdict: Verdict
    faults: list[DoneFault]
    outcomes: list[Outcome]
    whole: bool
    """At the end every dispatcher knew every worker."""


async def run_chaos(settings: ChaosSettings, folder: Path, progress: Progress) -> Run:
    """Start a stack with its data in `folder`, load it, cause faults, and stop it."""
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
        await _until_whole(stack)
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
    faults: list[DoneFault] = []
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
        whole=await _until_whole(stack),
    )


async def _cause(stack: ChaosStack, fault: Fault, load: Load) -> DoneFault:
    began = load.now_s
    await stack.cause(fault)
    return DoneFault(kind=fault.kind, part=fault.part, began=began, ended=load.now_s)


async def _show(progress: Progress, shown: TaskID, load: Load) -> None:
    while True:
        progress.update(shown, completed=load.now_s)
        await asyncio.sleep(0.5)


async def _until_whole(stack: ChaosStack) -> bool:
    """Wait until every dispatcher knows every worker; return False if that takes longer than `WHOLE_S`."""
    end = time.monotonic() + WHOLE_S
    while time.monotonic() < end:
        try:
            known = [(await gateway.call("GET", "/workers")).json()["workers"] for gateway in stack.gateways.values()]
            if all(workers == sorted(stack.worker_ids) for workers in known):
                return True
        except (OSError, EOFError, TimeoutError):
            pass
        await asyncio.sleep(POLL_S)
    return False
