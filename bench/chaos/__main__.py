"""`just chaos`: a load on a stack whose parts are killed, stopped, hung and cut off."""

import asyncio
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bench.chaos.report import figures_of, plot, table_of
from bench.chaos.run import run_chaos
from bench.chaos.settings import ChaosSettings
from bench.console import wide_console
from bench.history.record import command_line, start_recording
from bench.results import new_folder, this_machine, write_results
from bus.command import settings_command


def run(settings: ChaosSettings) -> int:
    """Run and report; return 0 if no answer was lost or wrong and every dispatcher knew every worker at the end."""
    console = Console(stderr=True)
    recording = start_recording(settings, "chaos")
    machine = this_machine()
    columns = (TextColumn("{task.description:>28}"), BarColumn(), TimeRemainingColumn())
    with tempfile.TemporaryDirectory() as folder, Progress(*columns, console=console) as progress:
        result = asyncio.run(run_chaos(settings, Path(folder), progress))
    results = new_folder(settings.results, "chaos")
    write_results(results / "chaos.json", settings=settings, machine=machine, results=result)
    plot(result.outcomes, result.faults, results / "chaos.svg")
    wide_console().print(table_of(result.verdict, result.faults))
    if recording is not None:
        figures = figures_of(result.verdict, result.faults)
        recording.add(machine=machine, command=command_line("chaos", settings), figures=figures)
    console.print(f"{results}/chaos.json, {results}/chaos.svg")
    if not result.whole:
        console.print("at the end not every dispatcher knew every worker")
    return 0 if not (result.verdict.lost or result.verdict.wrong) and result.whole else 1


command = settings_command(
    ChaosSettings, run, name="chaos", help_text="Load a stack whose parts are killed, stopped, hung and cut off."
)

if __name__ == "__main__":
    sys.exit(command())
