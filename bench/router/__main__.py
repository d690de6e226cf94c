"""`just bench-router`: the cost of a decision of the router at pools of several sizes."""

import sys
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta

from bench.console import wide_console
from bench.history.record import RecordSettings, command_line, start_recording
from bench.results import new_folder, this_machine, write_results
from bench.router.cost import PASS_TASKS, measure, measure_hits
from bench.router.report import figures_of, plot_of, table_of
from bus.command import settings_command

QUICK_WORKERS: Final = 1000
BAR_WORKERS: Final = 1000
BAR_US: Final = 20.0
"""The greatest median cost of a decision in a pool of `BAR_WORKERS`: a hundredth of a run of 2 ms."""


class RouterCostSettings(RecordSettings, frozen=True, kw_only=True):
    """Sizes of the pools, and the number of events."""

    workers: Annotated[
        tuple[Annotated[int, Meta(ge=1)], ...],
        Meta(description="Size of a pool; may be repeated."),
    ] = (10, 100, 1000, 10_000)
    events: Annotated[int, Meta(description="Tasks timed at each size.", ge=100)] = 20_000
    quick: Annotated[bool, Meta(description="A tenth of the events, and pools of up to 1,000.")] = False
    pass_tasks: Annotated[int, Meta(description="Most tasks in a pass; 1: no passes.", ge=1)] = PASS_TASKS
    fixed_share: Annotated[
        float, Meta(description="Share of a in the a + b of a pass; from 0.5 on tasks join passes.", ge=0, le=1)
    ] = 0.0
    seed: Annotated[int, Meta(description="Seed of labels and run times.", ge=0)] = 1
    results: Annotated[Path, Meta(description="Folder for the results.")] = Path("bench-results")


def run(settings: RouterCostSettings) -> int:
    """Measure, print, and write the results; return the exit status."""
    console = wide_console()
    recording = start_recording(settings, "router")
    machine = this_machine()
    events = settings.events // 10 if settings.quick else settings.events
    sizes = [size for size in settings.workers if size <= QUICK_WORKERS or not settings.quick]
    console.print("no queue, 1 worker …")  # lines and not a progress bar: the bar's thread would disturb the timing
    costs = measure_hits(events=events, pass_tasks=settings.pass_tasks)
    for size in sizes:
        console.print(f"{size:,} workers …")
        costs += measure(
            size,
            events=events,
            seed=settings.seed,
            pass_tasks=settings.pass_tasks,
            fixed_share=settings.fixed_share,
        )
    console.print(table_of(costs))
    for cost in costs:
        if cost.workers == BAR_WORKERS:
            met = cost.median_us <= BAR_US
            text = f"{cost.event} at {cost.workers:,} workers: {cost.median_us:.1f} µs median (bar: {BAR_US:g})"
            console.print(f"  {'[green]✓[/]' if met else '[red]✗[/]'} {text}")
    folder = new_folder(settings.results, "router")
    write_results(folder / "router.json", settings=settings, machine=machine, results=costs)
    plot_of([cost for cost in costs if cost.waiting], folder / "router.svg")
    if recording is not None:
        recording.add(machine=machine, command=command_line("bench-router", settings), figures=figures_of(costs))
    console.print(f"  {machine.system}, {machine.processor}, load {machine.load_before} before; {folder}")
    return 0


command = settings_command(
    RouterCostSettings, run, name="bench-router", help_text="Time the router's decisions in pools of several sizes."
)

if __name__ == "__main__":
    sys.exit(command())
