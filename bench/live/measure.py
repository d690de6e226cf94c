"""One run of one policy on a stack of its own, which starts with nothing loaded."""

import tempfile
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench.labels import copy_entry
from bench.live.arrivals import planned
from bench.live.bounds import bounds
from bench.live.producers import Producers, Sent, Work
from bench.live.settings import LiveSettings, Policy
from bench.live.summary import Summary, summary
from bench.live.worker_log import read_worker_log
from bench.popularity import zipf
from bus.connection import connect
from bus.model_repository import ModelEntry
from bus.settings import BusSettings
from labelbus.client import AsyncClient
from labelbus.stack.settings import StackSettings
from labelbus.stack.stack import Stack, running_stack

MODEL: Final = "sentence-transformers/all-MiniLM-L6-v2"
LOG_TIMEOUT_S: Final = 30.0


class LiveRun(msgspec.Struct, frozen=True, kw_only=True):
    """One policy's run: its figures, and every request in the order of sending."""

    summary: Summary
    requests: list[Sent]


async def measure(settings: LiveSettings, policy: Policy, console: Console) -> LiveRun:
    """Start a stack, send all requests through it, and stop it."""
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
            running = running_stack(stack_settings, lambda _: None)
            stack = await running.__aenter__()
        try:
            return await _measured(settings, policy, stack, console)
        finally:
            with console.status(f"{policy}: stopping …"):
                await running.__aexit__(None, None, None)


async def _measured(settings: LiveSettings, policy: str, stack: Stack, console: Console) -> LiveRun:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    plan = planned(settings, settings.seed)
    bus_settings = BusSettings(nats_url=stack.nats_url)
    async with AsyncClient(stack.http_url, connections=1000) as client, connect(bus_settings, name="bench") as bus:
        work = await prepared_work(settings, client, console)
        with Progress(*columns, console=console) as bar:
            shown = bar.add_task(policy, total=settings.requests)
            producers = Producers(client, work, lambda: bar.advance(shown))
            await producers.run(plan, settings.scale)
        completed = [request.task_id for request in producers.sent if not request.code]
        log = await read_worker_log(bus, stack.log_folder, completed, timeout_s=LOG_TIMEOUT_S)
    missed = frozenset(log.missed)
    sent = [msgspec.structs.replace(request, missed=request.task_id in missed) for request in producers.sent]
    sent.sort(key=lambda request: request.sent_s)
    bound = bounds(
        [request.label for request in sent],
        zipf(settings.labels, settings.zipf),
        settings.workers * settings.capacity,
        seed=settings.seed,
    )
    return LiveRun(summary=summary(policy, sent, log, synchronous=not plan.open, bound=bound), requests=sent)


def has_model(repository: Path) -> bool:
    """Return whether the model that all labels are copies of has been converted."""
    return ModelEntry(repository, MODEL).folder.exists()


async def prepared_work(settings: LiveSettings, client: AsyncClient, console: Console) -> Work:
    """Return the work of each task, after putting the models that it needs into the repository."""
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
