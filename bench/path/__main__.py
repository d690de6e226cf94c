"""`just bench-path`: the cost of a task's path, beside the least that it could cost."""

import asyncio
import sys

from bench.console import wide_console
from bench.history.record import command_line, start_recording
from bench.path.measure import measure
from bench.path.plot import plot_path
from bench.path.report import figures_of, summarise, table_of, verdicts
from bench.path.settings import PathSettings
from bench.results import new_folder, this_machine, write_results
from bus.command import settings_command


def run(settings: PathSettings) -> int:
    """Measure, print, and write the results; return the exit status."""
    console = wide_console()
    recording = start_recording(settings, "path")
    machine = this_machine()
    measured = asyncio.run(measure(settings, console))
    rows = summarise(measured)
    console.print(table_of(rows))
    found = verdicts(measured)
    for verdict in found:
        console.print(f"  {'[green]✓[/]' if verdict.met else '[red]✗[/]'} {verdict.text}")
    folder = new_folder(settings.results, "path")
    write_results(folder / "path.json", settings=settings, machine=machine, results=rows)
    plot_path(rows, folder / "path.svg")
    if recording is not None:
        recording.add(machine=machine, command=command_line("bench-path", settings), figures=figures_of(found))
    console.print(f"  {machine.cores} cores, {machine.processor}, load {machine.load_before} before; {folder}")
    return 0


command = settings_command(
    PathSettings, run, name="bench-path", help_text="Measure what a task's path costs, beside a bare gateway."
)

if __name__ == "__main__":
    sys.exit(command())
