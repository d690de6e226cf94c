"""Legs with the real MiniLM in Triton: labelbus over HTTP, and what else can embed on the same machine."""

import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from rich.console import Console

from bench.generator import load_generator
from bench.live.measure import MODEL, has_model
from bench.throughput.infinity import infinity_side
from bench.throughput.report import BY_LENGTH, IN_PROCESS, LABELBUS, Cell, MeasuredLeg
from bench.throughput.settings import ThroughputSettings
from bench.throughput.sides import (
    HttpSide,
    InProcessSide,
    Side,
    TritonSide,
    local_triton,
    model_generators,
    task_body,
)
from bench.throughput.texts import mixed_texts, tasks_of
from bench.throughput.turns import in_turn, warm_up
from bus.model_repository import ModelEntry
from labelbus.client import AsyncClient
from labelbus.stack.settings import StackSettings
from labelbus.stack.stack import running_stack

CLIENTS: Final = (1, 16, 64, 256)
QUICK_CLIENTS: Final = (1, 16)


def cells_of(settings: ThroughputSettings) -> list[Cell]:
    """Return the loads that the settings ask for."""
    clients = settings.clients or (QUICK_CLIENTS if settings.quick else CLIENTS)
    texts = settings.texts_per_task
    found = [_cell(count, texts or 1) for count in clients]
    return found if settings.clients or texts else [*found, _cell(4, 32)]


def _cell(clients: int, texts: int) -> Cell:
    name = f"{clients} client{'s' * (clients > 1)} × {texts} text{'s' * (texts > 1)}"
    return Cell(name=name, clients=clients, texts_per_task=texts)


async def measure_real(settings: ThroughputSettings, console: Console) -> list[MeasuredLeg]:
    """Start all sides, measure them in turn, and stop them."""
    async with AsyncExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="labelbus-bench-")))
        with console.status("starting …"):
            sides = await _sides(settings, folder, exits, console)
        cells = cells_of(settings)
        texts = mixed_texts()
        tasks = {cell: tasks_of(texts, cell.texts_per_task) for cell in cells}
        await warm_up(sides, tasks_of(texts, 4), console)
        plan = {cell: [side for side in sides if side.name != BY_LENGTH or cell.texts_per_task > 1] for cell in cells}
        return await in_turn(plan, tasks, seconds=settings.legs_s, rounds=settings.legs, console=console)


async def _sides(settings: ThroughputSettings, folder: Path, exits: AsyncExitStack, console: Console) -> list[Side]:
    repository = settings.model_repository
    stack_settings = StackSettings(
        data=folder,
        model_repository=repository,
        http_port=0,
        nats_port=0,
        workers=1,
        runtime="triton",
        threads=settings.threads,
        converter=not has_model(repository),
        logsink=settings.logsink,
    )
    stack = await exits.enter_async_context(running_stack(stack_settings, lambda _: None))
    async with AsyncClient(stack.http_url, connections=1) as client:
        if not has_model(repository):
            await client.upload_model(MODEL)
        await client.embed_texts(MODEL, ["this loads the label, so that tritonclient finds it"])
    worker = stack.processes["worker-1"].pid
    gateway, nats = stack.processes["dispatcher-1"].pid, stack.processes["nats"].pid
    assert worker is not None
    assert gateway is not None
    assert nats is not None
    triton, target = local_triton(worker)
    http = await exits.enter_async_context(load_generator())
    graph, client_process = await exits.enter_async_context(
        model_generators(repository, MODEL, threads=settings.threads, target=target)
    )
    info = ModelEntry(repository, MODEL).read_info()
    sides: list[Side] = [
        HttpSide(
            LABELBUS,
            {"gateway": gateway, "worker": worker, "nats": nats, "triton": triton},
            http,
            port=int(stack.http_url.rpartition(":")[2]),
            path="/run-task",
            body_of=task_body(MODEL),
        ),
        TritonSide(client_process, {"triton": triton}, max_rows=info.max_batch_size),
        InProcessSide(IN_PROCESS, graph, max_rows=info.max_batch_size, by_length=False),
        InProcessSide(BY_LENGTH, graph, max_rows=info.max_batch_size, by_length=True),
    ]
    if settings.infinity:
        infinity = await infinity_side(settings.environments, http, exits, console)
        if infinity is not None:
            sides.append(infinity)
    return sides
