"""`just bench-sim`: the production router and other policies on the same simulated traffic."""

import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Collection
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import click
import msgspec
from click.core import ParameterSource
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.console import wide_console
from bench.history.record import RecordSettings, start_recording
from bench.results import this_machine
from bench.sim.bounds import bound
from bench.sim.engine import Simulation
from bench.sim.grid import COARSE, COARSE_PASSES, FULL, PASSES, cells, measure_all, pass_cells, summary
from bench.sim.grid_report import heat_map, worst
from bench.sim.knobs import knob_table, measure_knobs, variants
from bench.sim.pass_workload import PASS_WORKLOADS
from bench.sim.policies import ONE_AT_A_TIME, POLICIES, SINGLE, WINDOW_0, dispatcher_for, workload_for
from bench.sim.report import QUANTILES, Row, figures_of, plot, quantile, table
from bench.sim.trace import read_trace
from bench.sim.workload import WORKLOADS as PLAIN_WORKLOADS
from bench.sim.workload import Workload
from bus.errors import LabelbusError

WORKLOADS = PLAIN_WORKLOADS | PASS_WORKLOADS

D_SEEDS = 3
"""Number of seeds for workload D, which has 200,000 requests a seed."""


def simulate(
    workload: Workload, policy: str, seed: int, *, dispatchers: int = 1, latency_s: float = 0.0, progress: Progress
) -> Row:
    """Simulate one policy on one draw of a workload."""
    began = time.perf_counter()
    name = policy if dispatchers == 1 else f"{policy} × {dispatchers}"
    bar = progress.add_task(f"{workload.name} {name} seed {seed}", total=len(workload.requests))
    made = [dispatcher_for(policy, workload, seed + number) for number in range(dispatchers)]
    simulation = Simulation(workload_for(policy, workload), made, seed=seed, latency_s=latency_s)
    run = simulation.play(lambda done: progress.update(bar, completed=done))
    progress.remove_task(bar)
    ordered = sorted(run.completion)
    least = bound(workload)
    return Row(
        workload=workload.name,
        policy=policy,
        dispatchers=dispatchers,
        seed=seed,
        requests=len(ordered),
        misses=run.misses,
        failed=run.failed,
        bounces=run.bounces,
        rate=len(ordered) / run.end_s,
        pass_size=len(ordered) / run.passes,
        mean_s=statistics.fmean(ordered),
        p50_s=quantile(ordered, 0.5),
        p99_s=quantile(ordered, 0.99),
        max_s=ordered[-1],
        bound_misses=least.misses,
        bound_mean_s=least.mean_s,
        routes=run.routes,
        quantiles_s=[quantile(ordered, q) for q in QUANTILES],
        wall_s=time.perf_counter() - began,
    )


@click.command(help="Simulate a pool under the router and other policies. Workloads: " + ", ".join(WORKLOADS) + ".")
@click.option(
    "--workloads", default=",".join(WORKLOADS), help="Names of workloads, separated by commas; all by default."
)
@click.option(
    "--policies",
    default=",".join((*POLICIES, ONE_AT_A_TIME)),
    show_default=True,
    help="Names of policies, separated by commas.",
)
@click.option(
    "--seeds",
    default="1,2,3,4,5",
    show_default=True,
    help="Seeds of the draws, separated by commas; D takes the first three.",
)
@click.option("--dispatchers", default="1", show_default=True, help="Numbers of dispatchers on one pool, e.g. 1,2,4.")
@click.option(
    "--latency-ms", type=float, help="Latency of a message, one way; 0.25 by default with several dispatchers, else 0."
)
@click.option(
    "--overlap", is_flag=True, help="Workers take one task beyond their slots, and loads take no slot (--window 1)."
)
@click.option("--trace", type=click.Path(path_type=Path), help="Replay a file of lines time,label,run_ms,load_ms.")
@click.option("--workers", default=4, show_default=True, help="Number of workers, for the trace.")
@click.option("--capacity", default=4, show_default=True, help="Labels a worker holds, for the trace.")
@click.option("--slots", default=1, show_default=True, help="Tasks a worker runs at once, for the trace.")
@click.option("--grid", is_flag=True, help="Compare with simple rules over pools and traffic of all kinds instead.")
@click.option(
    "--knobs", is_flag=True, help="With --grid: halve and double each knob of the router over the grid instead."
)
@click.option(
    "--quick",
    is_flag=True,
    help="A twentieth of the requests, one seed, without D; a seventh of the grid.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the results; bench-results/sim-<time> by default."
)
@click.option("--record", is_flag=True, help="Add the key figures to docs/performance/history.")
@click.option("--allow-dirty", is_flag=True, help="Record although the working tree has changes.")
def main(
    workloads: str,
    policies: str,
    seeds: str,
    dispatchers: str,
    latency_ms: float | None,
    overlap: bool,
    trace: Path | None,
    workers: int,
    capacity: int,
    slots: int,
    grid: bool,
    knobs: bool,
    quick: bool,
    out: Path | None,
    record: bool,
    allow_dirty: bool,
) -> None:
    """Simulate, print the table, and write the results."""
    console = wide_console()
    try:
        chosen = _chosen(policies, (*POLICIES, WINDOW_0, ONE_AT_A_TIME), "policy")
        numbers = [int(seed) for seed in seeds.split(",")][: 1 if quick else None]
        counts = [int(count) for count in dispatchers.split(",")]
        names = [] if trace else [n for n in _chosen(workloads, WORKLOADS, "workload") if not (quick and n == "D")]
        draws = [(name, seed) for name in names for seed in numbers[: D_SEEDS if name == "D" else None]]
        replay = read_trace(trace, workers=workers, capacity=capacity, slots=slots) if trace else None
        recording = start_recording(RecordSettings(record=record, allow_dirty=allow_dirty), "sim")
    except ValueError as exc:
        raise click.UsageError(str(exc)) from exc
    except LabelbusError as exc:
        raise click.ClickException(str(exc)) from exc
    if grid:
        if recording is not None:
            raise click.UsageError("--record is for workloads, not for the grid")
        if knobs:
            turn_knobs(COARSE if quick else FULL, out)
        else:
            compare_over_grid(COARSE if quick else FULL, COARSE_PASSES if quick else PASSES, out)
        return
    if knobs:
        raise click.UsageError("--knobs needs --grid")
    machine = this_machine()
    rows: list[Row] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        total = progress.add_task("all", total=max(len(draws), 1) * len(chosen))
        for name, seed in draws or [("", numbers[0])]:
            workload = replay or WORKLOADS[name](random.Random(seed), 0.05 if quick else 1.0)
            if overlap:
                workload = msgspec.structs.replace(workload, window=1, overlap=True)
            for policy in chosen if workload.pass_tasks > 1 else (name for name in chosen if name != ONE_AT_A_TIME):
                for count in counts if policy not in SINGLE else [1]:
                    latency_s = (0.25 * (count > 1) if latency_ms is None else latency_ms) / 1e3
                    row = simulate(workload, policy, seed, dispatchers=count, latency_s=latency_s, progress=progress)
                    rows.append(row)
                progress.advance(total)
    console.print(table(rows))
    folder = out or Path("bench-results") / f"sim-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "command": sys.argv[1:],
        "made": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "labelbus": version("labelbus"),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "quick": quick,
        "latency_ms": latency_ms,
        "overlap": overlap,
        "rows": [msgspec.to_builtins(row) for row in rows],
    }
    (folder / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")
    plots = plot(rows, folder)
    if recording is not None:
        recording.add(machine=machine, command=_command_line(), figures=figures_of(rows))
    console.print(f"{folder}/results.json and {len(plots)} plots")


def compare_over_grid(count: int, count_passes: int, out: Path | None) -> None:
    """Measure so many cells of the grid, and so many with passes; print summaries and worst cells, write heat maps."""
    console = wide_console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("cells", total=count + count_passes)
        chosen = cells(count) + pass_cells(count_passes)
        measured = measure_all(chosen, processes=os.cpu_count() or 1, done=lambda: progress.advance(bar))
    results, with_passes = measured[:count], measured[count:]
    console.print(worst(results))
    console.print(summary(results))
    console.print(worst(with_passes))
    console.print(f"with passes: {summary(with_passes)}")
    folder = out or Path("bench-results") / f"grid-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "grid.json").write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    heat_map(results, folder / "grid.svg")
    (folder / "grid-passes.json").write_bytes(msgspec.json.format(msgspec.json.encode(with_passes), indent=1) + b"\n")
    heat_map(with_passes, folder / "grid-passes.svg", by="fixed_units", named="a ÷ b")
    console.print(f"{folder}/grid.json and grid.svg")


def turn_knobs(count: int, out: Path | None) -> None:
    """Measure so many cells of the grid with each knob halved and doubled, print the table, and write it as JSON."""
    console = wide_console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("plays", total=count * len(variants()))
        results = measure_knobs(cells(count), processes=os.cpu_count() or 1, done=lambda: progress.advance(bar))
    console.print(knob_table(results))
    folder = out or Path("bench-results") / f"knobs-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "knobs.json").write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    console.print(f"{folder}/knobs.json")


def _command_line() -> str:
    """Return the `just` command with the options that were given, but no paths and none of recording."""
    context = click.get_current_context()
    words = ["just bench-sim"]
    for option in context.command.params:
        value = context.params[option.name or ""]
        given = context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
        if given and option.name not in RecordSettings.__struct_fields__ and not isinstance(value, Path):
            words.append(option.opts[0] if value is True else f"{option.opts[0]} {value}")
    return " ".join(words)


def _chosen(text: str, among: Collection[str], what: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in among:
            raise ValueError(f"no {what} {name!r}; there are {', '.join(among)}")
    return names


if __name__ == "__main__":
    main()
