"""The legs of a run, the two sides in turn, so that other work of the machine slows both alike."""

import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bench.generator import Generator, load_generator
from bench.http_load import Leg
from bench.path.report import MeasuredLeg
from bench.path.settings import TASK, PathSettings
from bench.path.sides import Side, both_sides


async def measure(settings: PathSettings, console: Console) -> list[MeasuredLeg]:
    """Start both sides, measure all legs, and stop them."""
    measured: list[MeasuredLeg] = []
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with tempfile.TemporaryDirectory(prefix="labelbus-bench-") as folder:
        async with both_sides(settings, Path(folder)) as sides, load_generator() as generator:
            for side in sides:  # a warm-up: afterwards the label is loaded and connections are open
                await one_leg(side, generator, connections=16, seconds=min(1.0, settings.seconds))
            legs = [
                (connections, side)
                for connections in settings.connections
                for number in range(settings.rounds)
                for side in (sides if number % 2 == 0 else sides[::-1])
            ]
            with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
                shown = bar.add_task("legs", total=len(legs))
                for connections, side in legs:
                    measured.append(await one_leg(side, generator, connections=connections, seconds=settings.seconds))
                    bar.update(shown, advance=1, description=f"{side.name} at {connections}")
    return measured


async def one_leg(side: Side, generator: Generator, *, connections: int, seconds: float) -> MeasuredLeg:
    """Measure one leg, and the CPU time that each process spent on it."""
    before = side.cpu_s()
    leg = await generator.run(
        Leg(port=side.port, path="/run-task", bodies=(TASK,), connections=connections, seconds=seconds)
    )
    spent = {name: seconds - before.get(name, 0.0) for name, seconds in side.cpu_s().items()}
    return MeasuredLeg(
        side=side.name,
        connections=connections,
        seconds=leg.seconds,
        latencies_ms=leg.latencies_ms,
        cpu_s={**spent, "generator": leg.cpu_s},
    )
