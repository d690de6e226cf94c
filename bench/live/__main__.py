"""`just bench`: the published benchmark on the real stack, and traffic like yours."""

import asyncio
import sys
from typing import Final

import msgspec

from bench.console import wide_console
from bench.history.record import command_line, start_recording
from bench.live.measure import measure
from bench.live.report import comparison, figures_of, gain, plot_live, published_lines
from bench.live.settings import LiveSettings, Policy
from bench.results import new_folder, this_machine, write_results
from bus.command import settings_command

PUBLISHED: Final = {5: "1,448 misses random, 563 smart; runtime 1.80 ×", 4: "1,193 random, 138 smart; 3.89 ×"}


def run(settings: LiveSettings) -> int:
    """Measure, print, and write the results; return the exit status."""
    console = wide_console()
    recording = start_recording(settings, "live")
    machine = this_machine()
    policies: tuple[Policy, ...] = ("random", "affinity") if settings.compare else (settings.policy,)
    console.print(_description(settings))
    runs = [asyncio.run(measure(settings, policy, console)) for policy in policies]
    results = [each.summary for each in runs]
    for result in results:
        console.print(f"\n[bold]{result.policy}[/]")
        console.print("\n".join(published_lines(result)))
    console.print()
    console.print(comparison(results))
    if (times := gain(results)) is not None:
        console.print(f"  average task runtime: affinity is {times:.2f} × as fast as random")
    if settings.labels in PUBLISHED and (settings.workers, settings.capacity) == (2, 2):
        console.print(f"  published for {settings.labels} labels: {PUBLISHED[settings.labels]}")
    folder = new_folder(settings.results, f"live-{settings.runtime}-{settings.labels}")
    write_results(folder / "live.json", settings=settings, machine=machine, results=results)
    requests = {each.summary.policy: each.requests for each in runs}
    (folder / "requests.json").write_bytes(msgspec.json.encode(requests))
    plot_live(runs, folder / "live.svg")
    if recording is not None:
        recording.add(machine=machine, command=command_line("bench", settings), figures=figures_of(results))
    console.print(f"  {machine.cores} cores, {machine.processor}, load {machine.load_before} before; {folder}")
    return 0


def _description(settings: LiveSettings) -> str:
    loop = (
        f"{settings.rate:g} requests a second"
        if settings.rate
        else f"{settings.producers} producers waiting Normal({settings.wait_avg:g}, {settings.wait_stddev:g}) s"
    )
    scaled = "waits and simulated times" if settings.runtime == "simulated" else "waits"
    return (
        f"{settings.requests:,} requests for {settings.labels} labels; {loop}; {settings.workers} workers × "
        f"{settings.capacity} labels, {settings.slots} at once, {settings.window} ahead; "
        f"{settings.runtime}; {scaled} × {settings.scale:g}"
    )


command = settings_command(
    LiveSettings, run, name="bench", help_text="Run the published benchmark, or traffic like yours, on the real stack."
)

if __name__ == "__main__":
    sys.exit(command())
