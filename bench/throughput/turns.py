"""Legs of several sides in turn, so that other work of the machine slows all of them alike."""

from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench.throughput.report import Cell, MeasuredLeg
from bench.throughput.sides import Side, Tasks, cpu_s

SCALED_FROM: Final = 64
"""Clients from which a leg is longer, so that each client has several answers."""


async def in_turn(
    plan: Mapping[Cell, Sequence[Side]], tasks: Mapping[Cell, Tasks], *, seconds: float, rounds: int, console: Console
) -> list[MeasuredLeg]:
    """Measure every cell on each of its sides, `rounds` times; a round begins with another side than the one before."""
    measured: list[MeasuredLeg] = []
    legs = [
        (cell, side)
        for cell, sides in plan.items()
        for number in range(rounds)
        for side in [*sides[number % len(sides) :], *sides[: number % len(sides)]]
    ]
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
        shown = bar.add_task("legs", total=len(legs))
        for cell, side in legs:
            bar.update(shown, description=f"{cell.name}: {side.name}")
            measured.append(await _leg(cell, side, tasks[cell], seconds * max(1.0, cell.clients / SCALED_FROM)))
            bar.advance(shown)
    return measured


async def warm_up(sides: Sequence[Side], tasks: Tasks, console: Console) -> None:
    """Run a short leg on each side; afterwards models are loaded, connections open and run times known."""
    for side in sides:
        with console.status(f"warming up {side.name} …"):
            await side.run(tasks, 2, 1.5)


async def _leg(cell: Cell, side: Side, tasks: Tasks, seconds: float) -> MeasuredLeg:
    before = cpu_s(side.pids)
    result = await side.run(tasks, cell.clients, seconds)
    spent = {name: after - before.get(name, 0.0) for name, after in cpu_s(side.pids).items()}
    return MeasuredLeg(cell=cell, side=side.name, seconds=result.seconds, latencies_ms=result.latencies_ms, cpu_s=spent)
