"""`just bench-peers`: labelbus beside Ray Serve's model multiplexing, in turn."""

import asyncio
import sys

import msgspec

from bench.console import wide_console
from bench.history.record import command_line, start_recording
from bench.peers.measure import measure
from bench.peers.ray_process import python_of, ray_version
from bench.peers.report import figures_of, plot_peers, table_of
from bench.peers.settings import PeersSettings
from bench.peers.sides import RAY, description
from bench.peers.summary import figures, medians, verdicts
from bench.results import new_folder, this_machine, write_results
from bus.command import settings_command


def run(asked: PeersSettings) -> int:
    """Measure, print, and write the results; return the exit status."""
    settings = asked.in_effect()
    console = wide_console()
    recording = start_recording(settings, "peers")
    machine = this_machine()
    peers = {"ray": ray_version(python_of(settings))} if settings.ray else {}
    console.print(description(settings, peers))
    folder = new_folder(settings.results, "peers")
    legs = asyncio.run(measure(settings, console, folder))
    rounds = [figures(leg) for leg in legs]
    found = verdicts(rounds, RAY)
    console.print(table_of(rounds))
    for verdict in found:
        console.print(f"  {'[green]✓[/]' if verdict.met else '[red]✗[/]'} {verdict.text}")
    results = {"peers": peers, "rounds": rounds, "medians": medians(rounds), "verdicts": found}
    write_results(folder / "peers.json", settings=settings, machine=machine, results=results)
    (folder / "requests.json").write_bytes(msgspec.json.encode(legs))
    plot_peers(legs, rounds, folder / "peers.svg")
    if recording is not None:
        recording.add(machine=machine, command=command_line("bench-peers", asked), figures=figures_of(rounds))
    console.print(f"  {machine.cores} cores, {machine.processor}, load {machine.load_before} before; {folder}")
    return 0


command = settings_command(
    PeersSettings, run, name="bench-peers", help_text="Measure labelbus beside Ray Serve's model multiplexing."
)

if __name__ == "__main__":
    sys.exit(command())
