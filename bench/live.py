"""`just bench`: the published benchmark on the real stack, and what labelbus would do for traffic like yours."""

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench.arrivals import Planned, closed_loop, open_loop, popularity
from bench.bound import bounds
from bench.console import wide_console
from bench.labels import copy_entry
from bench.live_report import comparison, gain, plot_live, published_lines
from bench.producers import Asked, Producers, Work
from bench.results import new_folder, this_machine, write_results
from bench.summary import Summary, summary
from bench.worker_log import read_worker_log
from bus.command import settings_command
from bus.connection import connect
from bus.model_repository import ModelEntry
from bus.settings import BusSettings
from labelbus.client import AsyncClient
from labelbus.stack.settings import StackSettings
from labelbus.stack.stack import Stack, running_stack

MODEL: Final = "sentence-transformers/all-MiniLM-L6-v2"
LOG_TIMEOUT_S: Final = 30.0
CLOSED_SCALE: Final = 0.1
PUBLISHED: Final = {5: "1,448 misses random, 563 smart; runtime 1.80 ×", 4: "1,193 random, 138 smart; 3.89 ×"}


class LiveSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The published benchmark's knobs, and some more."""

    requests: Annotated[int, Meta(description="Requests in all.", ge=1)] = 2400
    producers: Annotated[int, Meta(description="Producers, each with one request at a time.", ge=1)] = 2
    wait_avg: Annotated[float, Meta(description="Seconds that a producer waits after an answer, mean.", ge=0)] = 2.5
    wait_stddev: Annotated[float, Meta(description="Standard deviation of that wait.", ge=0)] = 1.0
    rate: Annotated[
        float, Meta(description="Requests a second at random moments instead (open loop); 0: producers.", ge=0)
    ] = 0.0
    time_scale: Annotated[
        float,
        Meta(description="Factor on all waits; 0: 0.1 for producers, 1 with --rate. Simulated times too.", ge=0),
    ] = 0.0
    labels: Annotated[int, Meta(description="Labels that are asked for.", ge=1)] = 5
    zipf: Annotated[float, Meta(description="Exponent of their popularity; 0: all the same.", ge=0)] = 0.0
    workers: Annotated[int, Meta(description="Workers.", ge=1)] = 2
    capacity: Annotated[int, Meta(description="Labels that a worker holds.", ge=1)] = 2
    slots: Annotated[int, Meta(description="Tasks that a worker runs at once.", ge=1)] = 1
    window: Annotated[
        int, Meta(description="Tasks that a worker takes ahead; with 0 a load takes a slot.", ge=0, le=1000)
    ] = 1
    runtime: Annotated[
        Literal["triton", "onnx", "simulated"], Meta(description="Real MiniLM models, or loads that only wait.")
    ] = "triton"
    texts: Annotated[int, Meta(description="Texts in a task (triton, onnx).", ge=1)] = 8
    run_ms: Annotated[float, Meta(description="Time of a task (simulated).", ge=0)] = 87.5
    load_ms: Annotated[float, Meta(description="Time of a load (simulated).", ge=0)] = 390.0
    policy: Annotated[Literal["affinity", "random"], Meta(description="How the dispatcher routes.")] = "affinity"
    compare: Annotated[bool, Meta(description="Both policies on the same arrivals, side by side.")] = False
    seed: Annotated[int, Meta(description="Seed of labels and waits.")] = 0
    model_repository: Annotated[Path, Meta(description="Folder of the model repository.")] = Path(".labelbus/models")
    results: Annotated[Path, Meta(description="Folder for the results.")] = Path("bench-results")

    @property
    def scale(self) -> float:
        """The factor on waits that is meant."""
        return self.time_scale or (1.0 if self.rate else CLOSED_SCALE)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The arrivals, the same for each policy; one of the two is empty."""

    closed: list[list[Planned]]
    open: list[Planned]


def planned(settings: LiveSettings) -> Plan:
    """The arrivals that the settings ask for."""
    shares = popularity(settings.labels, settings.zipf)
    if settings.rate:
        arrivals = open_loop(requests=settings.requests, shares=shares, rate=settings.rate, seed=settings.seed)
        return Plan(closed=[], open=arrivals)
    plans = closed_loop(
        requests=settings.requests,
        producers=settings.producers,
        shares=shares,
        wait_avg_s=settings.wait_avg,
        wait_stddev_s=settings.wait_stddev,
        seed=settings.seed,
    )
    return Plan(closed=plans, open=[])


async def measure(
    settings: LiveSettings, policy: Literal["affinity", "random"], console: Console
) -> tuple[Summary, list[Asked]]:
    """One policy on a stack of its own, which starts with nothing loaded."""
    with tempfile.TemporaryDirectory(prefix="labelbus-bench-") as folder:
        stack_settings = StackSettings(
            data=Path(folder),
            model_repository=settings.model_repository,
            http_port=0,
            nats_port=0,
            workers=settings.workers,
            capacity=settings.capacity,
            slots=settings.slots,
            window=settings.window,
            runtime=settings.runtime,
            simulated_load_ms=settings.load_ms * settings.scale,
            threads=1,
            policy=policy,
            converter=settings.runtime != "simulated" and not has_model(settings.model_repository),
        )
        with console.status(f"{policy}: starting the stack …"):
            stack = running_stack(stack_settings, lambda _: None)
            parts = await stack.__aenter__()
        try:
            return await _measured(settings, policy, parts, console)
        finally:
            with console.status(f"{policy}: stopping …"):
                await stack.__aexit__(None, None, None)


async def _measured(settings: LiveSettings, policy: str, parts: Stack, console: Console) -> tuple[Summary, list[Asked]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    plan = planned(settings)
    bus_settings = BusSettings(nats_url=parts.nats_url)
    async with AsyncClient(parts.http_url, connections=1000) as client, connect(bus_settings, name="bench") as bus:
        work = await the_work(settings, client, console)
        with Progress(*columns, console=console) as bar:
            shown = bar.add_task(policy, total=settings.requests)
            producers = Producers(client, work, lambda: bar.advance(shown))
            if plan.open:
                await producers.open(plan.open, settings.scale)
            else:
                await producers.closed(plan.closed, settings.scale)
        done = [one.task_id for one in producers.asked if not one.code]
        log = await read_worker_log(bus, parts.log_folder, done, timeout_s=LOG_TIMEOUT_S)
    missed = frozenset(log.missed)
    asked = [msgspec.structs.replace(one, missed=one.task_id in missed) for one in producers.asked]
    asked.sort(key=lambda one: one.sent_s)
    bound = bounds(
        [one.label for one in asked],
        popularity(settings.labels, settings.zipf),
        settings.workers * settings.capacity,
        seed=settings.seed,
    )
    return summary(policy, asked, log, synchronous=not plan.open, bound=bound), asked


def has_model(repository: Path) -> bool:
    """True if the model that all labels are copies of has been converted."""
    return ModelEntry(repository, MODEL).folder.exists()


async def the_work(settings: LiveSettings, client: AsyncClient, console: Console) -> Work:
    """What tasks do; the models are there afterwards."""
    if settings.runtime == "simulated":
        return Work(
            task_type="sample_task",
            parameters={"sleep_ms": settings.run_ms * settings.scale},
            labels=tuple(f"bench/label-{number + 1}" for number in range(settings.labels)),
        )
    if not has_model(settings.model_repository):
        with console.status(f"converting {MODEL}, once …"):
            await client.upload_model(MODEL)
    labels = tuple(f"bench/minilm-{number + 1}" for number in range(settings.labels))
    for label in labels:
        copy_entry(settings.model_repository, MODEL, label)
    texts = [f"sentence number {number} of a few that are embedded together" for number in range(settings.texts)]
    return Work(task_type="embed_texts", parameters={"texts": texts}, labels=labels)


def run(settings: LiveSettings) -> int:
    """Measure, print, and write the results; the exit status."""
    console = wide_console()
    machine = this_machine()
    policies: tuple[Literal["affinity", "random"], ...] = (
        ("random", "affinity") if settings.compare else (settings.policy,)
    )
    console.print(_what(settings))
    runs = [asyncio.run(measure(settings, policy, console)) for policy in policies]
    results = [result for result, _ in runs]
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
    requests: dict[str, Any] = {result.policy: asked for result, asked in runs}
    write_results(folder / "live.json", settings=settings, machine=machine, results=results)
    (folder / "requests.json").write_bytes(msgspec.json.encode(requests))
    plot_live(runs, folder / "live.svg")
    console.print(f"  {machine.cores} cores, {machine.processor}, load {machine.load_before} before; {folder}")
    return 0


def _what(settings: LiveSettings) -> str:
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
    LiveSettings, run, name="bench", help_text="The published benchmark on the real stack, and beyond."
)

if __name__ == "__main__":
    sys.exit(command())
