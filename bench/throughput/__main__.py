"""`just bench-throughput`: texts a second, beside the same model without labelbus around it."""

import asyncio
import sys

from bench.console import wide_console
from bench.history.record import command_line, start_recording
from bench.results import new_folder, this_machine, write_results
from bench.throughput.plot import plot_throughput
from bench.throughput.real import measure_real
from bench.throughput.report import figures_of, real_verdicts, simulated_verdicts, summarise, table_of
from bench.throughput.settings import ThroughputSettings
from bench.throughput.simulated import measure_simulated
from bus.command import settings_command


def run(settings: ThroughputSettings) -> int:
    """Measure, print, and write the results; return the exit status."""
    console = wide_console()
    recording = start_recording(settings, "throughput")
    machine = this_machine()
    if settings.runtime == "simulated":
        measured = asyncio.run(measure_simulated(settings, console))
        found = simulated_verdicts(
            measured,
            run_ms=settings.simulated_run_ms,
            item_ms=settings.simulated_item_ms,
            pass_tasks=settings.pass_tasks,
        )
    else:
        measured = asyncio.run(measure_real(settings, console))
        found = real_verdicts(measured)
    rows = summarise(measured)
    console.print(table_of(rows))
    for verdict in found:
        mark = {True: "[green]✓[/]", False: "[red]✗[/]", None: " "}[verdict.met]
        console.print(f"  {mark} {verdict.text}")
    folder = new_folder(settings.results, f"throughput-{settings.runtime}")
    write_results(folder / "throughput.json", settings=settings, machine=machine, results=rows)
    plot_throughput(rows, folder / "throughput.svg")
    if recording is not None:
        recording.add(machine=machine, command=command_line("bench-throughput", settings), figures=figures_of(found))
    console.print(f"  {machine.cores} cores, {machine.processor}, load {machine.load_before} before; {folder}")
    return 0


command = settings_command(
    ThroughputSettings,
    run,
    name="bench-throughput",
    help_text="Measure texts a second, beside the same model without labelbus around it.",
)

if __name__ == "__main__":
    sys.exit(command())
