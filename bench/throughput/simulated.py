"""Legs with simulated runs that take a GPU's time, run_ms + item_ms · tasks: in passes, and one task at a time."""

import asyncio
import random
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console

from bench.generator import load_generator
from bench.throughput.report import LABELBUS, ONE_AT_A_TIME, PATH, Cell, MeasuredLeg
from bench.throughput.settings import ThroughputSettings
from bench.throughput.sides import HttpSide, Side
from bench.throughput.turns import in_turn, warm_up
from labelbus.client import AsyncClient
from labelbus.stack.settings import StackSettings
from labelbus.stack.stack import running_stack

CLIENTS: Final = (64,)
MANY: Final = 20
POOLS: Final = ((1, 1, 2), (MANY, 4, 4), (MANY, 4, 5))
"""Labels, workers, and labels that a worker holds: one label, too many to hold them all, and just few enough."""
DRAWS: Final = 1000


async def measure_simulated(settings: ThroughputSettings, console: Console) -> list[MeasuredLeg]:
    """Start the stacks of each pool, measure them in turn, and stop them."""
    measured: list[MeasuredLeg] = []
    for labels, workers, capacity in POOLS:
        async with AsyncExitStack() as exits:
            with console.status("starting …"):
                sides = [
                    await _side(settings, exits, name, labels=labels, workers=workers, capacity=capacity)
                    for name in (LABELBUS, ONE_AT_A_TIME, *((PATH,) if labels == 1 else ()))
                ]
            rng = random.Random(0)
            drawn = tuple((f"bench/label-{rng.randint(1, labels)}",) for _ in range(DRAWS if labels > 1 else 1))
            pool = f"{_counted(labels, 'label')}, {_counted(workers, 'worker')} × {capacity}"
            cells = [
                Cell(name=f"{pool}, {_counted(clients, 'client')}", clients=clients)
                for clients in settings.clients or CLIENTS
            ]
            await warm_up(sides, drawn, console)
            measured += await in_turn(
                dict.fromkeys(cells, sides),
                dict.fromkeys(cells, drawn),
                seconds=settings.legs_s,
                rounds=settings.legs,
                console=console,
            )
    return measured


async def _side(
    settings: ThroughputSettings, exits: AsyncExitStack, name: str, *, labels: int, workers: int, capacity: int
) -> Side:
    """Return labelbus with passes, or without, or with runs that take no time, on a stack of its own."""
    folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="labelbus-bench-")))
    timed = name != PATH
    stack_settings = StackSettings(
        data=folder,
        model_repository=folder / "models",
        http_port=0,
        nats_port=0,
        workers=workers,
        capacity=capacity,
        runtime="simulated",
        simulated_load_ms=settings.simulated_load_ms,
        simulated_run_ms=settings.simulated_run_ms if timed else 0.0,
        simulated_item_ms=settings.simulated_item_ms if timed else 0.0,
        pass_tasks=settings.pass_tasks if name == LABELBUS else 1,
        # Without times of its own nothing runs in turn: as many at once as come.
        slots=1 if timed else max(settings.clients or CLIENTS),
        converter=False,
        logsink=settings.logsink,
    )
    stack = await exits.enter_async_context(running_stack(stack_settings, lambda _: None))
    pids = {"gateway": stack.processes["dispatcher-1"].pid, "nats": stack.processes["nats"].pid} | {
        f"worker{number}": stack.processes[worker].pid for number, worker in enumerate(stack.worker_ids, 1)
    }
    async with AsyncClient(stack.http_url, connections=labels) as client, asyncio.TaskGroup() as tasks:
        for number in range(1, labels + 1):
            tasks.create_task(client.run_task("sample_task", f"bench/label-{number}", {}))
    generator = await exits.enter_async_context(load_generator())
    return HttpSide(
        name,
        {process: pid for process, pid in pids.items() if pid is not None},
        generator,
        port=int(stack.http_url.rpartition(":")[2]),
        path="/run-task",
        body_of=_body,
    )


def _body(task: Sequence[str]) -> str:
    (label,) = task
    return msgspec.json.encode({"task_type": "sample_task", "label": label, "parameters_json": {}}).decode()


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count > 1)}"
