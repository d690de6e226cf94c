"""The rounds: in each of them every side gets the same requests, one side after the other."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench.live.arrivals import Plan, planned
from bench.live.producers import Producers, Sent, Work
from bench.peers.settings import PeersSettings
from bench.peers.sides import Side, running_side, sides

T = TypeVar("T")


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """One side in one round: its loads, and every request in the order of sending."""

    side: str
    round: int
    loads: int
    requests: list[Sent]


async def measure(settings: PeersSettings, console: Console, folder: Path) -> list[Leg]:
    """Run all rounds. Each side is started for its leg and stopped after it, so that no side runs beside another."""
    legs: list[Leg] = []
    for round_number in range(settings.rounds):
        plan = planned(settings, settings.seed + round_number)
        for side in in_turn(sides(settings), round_number):
            leg = await _leg(settings, side, round_number + 1, plan, console, folder)
            legs.append(leg)
    return legs


def in_turn(of: Sequence[T], round_number: int) -> list[T]:
    """Return the items, another one first in each round, so that none is always measured before the others."""
    first = round_number % len(of)
    return [*of[first:], *of[:first]]


async def _leg(settings: PeersSettings, side: Side, number: int, plan: Plan, console: Console, folder: Path) -> Leg:
    name = f"round {number}, {side.name}"
    logs = folder / "logs" / name.replace(", ", "-").replace(" ", "-") if settings.keep_logs else None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    work = Work(
        task_type="sample_task",
        parameters={"sleep_ms": settings.run_ms},
        labels=tuple(f"bench/label-{number + 1}" for number in range(settings.labels)),
    )
    starting = console.status(f"{name}: starting …")
    starting.start()
    try:
        async with running_side(settings, side, logs) as running:
            starting.stop()
            with Progress(*columns, console=console) as bar:
                shown = bar.add_task(name, total=settings.requests)
                producers = Producers(running.client, work, lambda: bar.advance(shown))
                await producers.run(plan, 1.0)
            loads = await running.loads([sent.task_id for sent in producers.sent if sent.task_id])
    finally:
        starting.stop()
    return Leg(side=side.name, round=number, loads=loads, requests=sorted(producers.sent, key=lambda sent: sent.sent_s))
