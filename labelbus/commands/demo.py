"""`labelbus demo`: the whole way of a task, once, on real parts."""

import asyncio
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import click
import msgspec
from msgspec import Meta
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bus.codec import decode_progress
from bus.command import settings_command
from bus.connection import Bus, Msg, connect
from bus.errors import MalformedError, ProblemError, WorkerError
from bus.registry import read_entries
from bus.settings import BusSettings
from labelbus.client import AsyncClient, TaskResult
from labelbus.commands.labels import holders_of, labels_table
from labelbus.stack.settings import StackSettings
from labelbus.stack.stack import Stack, running_stack
from logsink.reader import Filter, LogReader
from logsink.render import to_text

MODEL: Final = "sentence-transformers/all-MiniLM-L6-v2"

SENTENCES: Final = (
    "A worker that holds the model answers at once.",
    "The task goes to a machine which has the network in memory already.",
    "Tomatoes want sun, water and patience.",
)

BURST: Final = 24
BURSTS: Final = 4
"""Tasks sent at once: more work than a load takes, so that the router loads the model on the second worker as well.

Machines with slow loads and quick runs need a larger burst; each burst is twice the one before.
"""

BURST_TEXTS: Final = 32
LAST_LOG_LINES: Final = 12


class DemoSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The folders of the demo; the converted model stays, so that a second demo is quick."""

    data: Annotated[Path, Meta(description="Folder for the NATS store and logs.")] = Path(".labelbus/demo")
    model_repository: Annotated[Path, Meta(description="Folder of the model repository.")] = Path(".labelbus/models")


def run(settings: DemoSettings) -> int:
    """Run the demo and return the exit status."""
    console = Console(highlight=False)
    try:
        asyncio.run(_demo(settings, console))
    except ProblemError as exc:
        raise WorkerError(f"the gateway answered {exc.status}: {exc}") from exc
    return 0


async def _demo(settings: DemoSettings, console: Console) -> None:
    began = time.monotonic()
    stack_settings = StackSettings(
        data=settings.data, model_repository=settings.model_repository, http_port=0, nats_port=0, workers=2
    )
    console.rule("1 start: NATS, a dispatcher, two workers, a log sink, a converter")

    def told(name: str) -> None:
        console.print(f"  [green]✓[/] {name} [dim]{time.monotonic() - began:.1f} s[/]")

    with console.status("starting …"):
        stack = running_stack(stack_settings, told)
        parts = await stack.__aenter__()
    try:
        bus_settings = BusSettings(nats_url=parts.nats_url)
        async with connect(bus_settings, name="labelbus-demo") as bus, AsyncClient(parts.http_url) as client:
            await _show(console, parts, bus, client)
    finally:
        with console.status("stopping …"):
            await stack.__aexit__(None, None, None)
    console.rule(f"done in {time.monotonic() - began:.0f} s; `just up` keeps the same stack running")


async def _show(console: Console, parts: Stack, bus: Bus, client: AsyncClient) -> None:
    runtimes = sorted({entry.runtime for entry in await read_entries(bus)})
    console.print(f"  {parts.http_url}, {parts.nats_url}; workers run on {', '.join(runtimes)}")
    if runtimes != ["triton"]:
        console.print("  [yellow]no Triton can be started here, so models run in ONNX Runtime inside the workers[/]")
    console.rule(f"2 upload {MODEL}")
    await _upload(console, bus, client)
    console.rule("3 embed three sentences (POST /run-task)")
    embeddings = await _embed(console, client)
    _similarities(console, embeddings)
    for number in range(BURSTS):
        tasks = BURST * 2**number
        console.rule(f"4 {tasks} tasks at once: when waiting costs more than a load, the other worker gets a copy")
        served = await _burst(console, client, tasks)
        if len(served) == len(parts.worker_ids):
            break
    else:
        raise WorkerError(f"only {', '.join(served)} took part; see the log in {parts.log_folder}")
    console.rule("5 the registry: KV bucket `labels`, written by the workers")
    console.print(labels_table(holders_of(await read_entries(bus))))
    console.rule("6 the log sink's last lines (`labelbus logs`)")
    await _logs(console, parts)


async def _upload(console: Console, bus: Bus, client: AsyncClient) -> None:
    columns = (TextColumn("  {task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("asking the converter", total=1.0)

        async def on_progress(msg: Msg) -> None:
            try:
                step = decode_progress(msg.data)
            except MalformedError:
                return
            progress.update(bar, completed=step.fraction, description=f"{step.stage} {step.message}".strip())

        watching = await bus.subscribe(bus.subjects.convert_event("*"), on_progress)
        try:
            uploaded = await client.upload_model(MODEL)
        except ProblemError as exc:
            if exc.code != "exists":
                raise
            progress.update(bar, completed=1.0, description="in the model repository already, from an earlier run")
        else:
            progress.update(bar, completed=1.0, description="published")
            console.print(f"  {uploaded.message}", soft_wrap=True)
        finally:
            await bus.unsubscribe(watching)


async def _embed(console: Console, client: AsyncClient) -> list[list[float]]:
    embeddings = []
    results = []
    for sentence in SENTENCES:
        result = await client.run_task("embed_texts", MODEL, {"texts": [sentence]})
        results.append(result)
        embeddings.append(result.output["embeddings"][0])
    console.print(_tasks_table(results))
    return embeddings


async def _burst(console: Console, client: AsyncClient, size: int) -> set[str]:
    texts = [f"sentence number {number} of a longer text" for number in range(BURST_TEXTS)]
    results: list[TaskResult] = []
    with Progress(
        TextColumn("  tasks"), BarColumn(), TextColumn("{task.completed}/{task.total}"), console=console
    ) as bar:
        shown = bar.add_task("tasks", total=size)

        async def one() -> None:
            results.append(await client.run_task("embed_texts", MODEL, {"texts": texts}))
            bar.advance(shown)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(size):
                tasks.create_task(one())
    console.print(_tasks_table(results))
    served = {result.worker for result in results}
    console.print(f"  served by {', '.join(sorted(served))}")
    return served


def _tasks_table(results: Sequence[TaskResult]) -> Table:
    table = Table("task", "worker", "route", "queue ms", "load ms", "run ms")
    for result in results:
        times = (f"{value:.1f}" for value in (result.queue_ms, result.load_ms, result.run_ms))
        table.add_row(result.task_id[:8], result.worker, result.route, *times)
    return table


def _similarities(console: Console, embeddings: list[list[float]]) -> None:
    table = Table("", *(str(number) for number in range(1, len(SENTENCES) + 1)), title="cosine similarity")
    for row, sentence in enumerate(SENTENCES):
        values = (f"{_cosine(embeddings[row], other):.2f}" for other in embeddings)
        table.add_row(f"{row + 1} {sentence}", *values)
    console.print(table)


def _cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True)) / (math.hypot(*one) * math.hypot(*other))


async def _logs(console: Console, parts: Stack) -> None:
    reader = LogReader(parts.log_folder, Filter())
    for line in await asyncio.to_thread(lambda: list(reader.history(LAST_LOG_LINES))):
        console.print("  " + to_text(line, colour=False), soft_wrap=True, markup=False)


command: click.Command = settings_command(
    DemoSettings, run, name="demo", help_text="Show labelbus working, on real parts, in one go."
)
