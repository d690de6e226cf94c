"""The servers that are compared, each started with nothing loaded and stopped again."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Literal

import msgspec

from bench.live.producers import TaskClient
from bench.live.worker_log import read_worker_log
from bench.peers.ray_client import RayClient
from bench.peers.ray_process import running_ray
from bench.peers.settings import PeersSettings
from bus.connection import connect
from bus.settings import BusSettings
from labelbus.client import AsyncClient
from labelbus.stack.settings import StackSettings
from labelbus.stack.stack import running_stack

RAY: Final = "Ray Serve"
CONNECTIONS: Final = 1000
ANSWER_TIMEOUT_S: Final = 300.0
LOG_TIMEOUT_S: Final = 60.0


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """A server to compare; `window` is that of labelbus' workers."""

    kind: Literal["ray", "labelbus"]
    name: str
    window: int = 0


class RunningSide(msgspec.Struct, frozen=True, kw_only=True):
    """A server that is ready: its client, and a call that counts the loads made for completed tasks, by their ids."""

    client: TaskClient
    loads: Callable[[Sequence[str]], Awaitable[int]]


def sides(settings: PeersSettings) -> list[Side]:
    """Return the sides that the settings ask for; one of labelbus has its window in its name if it is no default."""
    (default,) = PeersSettings().window
    found = [
        Side(kind="labelbus", name="labelbus" if window == default else f"labelbus, window {window}", window=window)
        for window in dict.fromkeys(settings.window)
    ]
    return [Side(kind="ray", name=RAY), *found] if settings.ray else found


def description(settings: PeersSettings, peers: Mapping[str, str]) -> str:
    """Return a line about the requests, the pool, and the versions of the peers."""
    loop = (
        f"{settings.rate:g} requests a second"
        if settings.rate
        else f"{settings.producers} producers waiting Normal({settings.wait_avg:g}, {settings.wait_stddev:g}) s"
    )
    beside = "".join(f"; {name} {version}" for name, version in peers.items())
    return (
        f"{settings.requests:,} requests for {settings.labels} labels; {loop}; {settings.workers} workers × "
        f"{settings.capacity} labels, {settings.slots} at once; loads {settings.load_ms:g} ms, "
        f"runs {settings.run_ms:g} ms; each side starts with nothing loaded; {settings.rounds} rounds{beside}"
    )


@asynccontextmanager
async def running_side(settings: PeersSettings, side: Side, logs: Path | None) -> AsyncIterator[RunningSide]:
    """Yield the side, ready for requests; copy the log files of labelbus to the folder `logs` at the end."""
    if side.kind == "ray":
        async with (
            running_ray(settings, "ray") as ray,
            RayClient(ray.url, timeout_s=ANSWER_TIMEOUT_S, connections=CONNECTIONS) as client,
        ):

            async def lines(_: Sequence[str]) -> int:
                return ray.loads()

            yield RunningSide(client=client, loads=lines)
        return
    with tempfile.TemporaryDirectory(prefix="labelbus-bench-") as folder:
        stack_settings = _stack_settings(settings, side, Path(folder))
        async with running_stack(stack_settings, lambda _: None) as stack:
            bus_settings = BusSettings(nats_url=stack.nats_url)
            async with (
                AsyncClient(stack.http_url, timeout_s=ANSWER_TIMEOUT_S, connections=CONNECTIONS) as labelbus,
                connect(bus_settings, name="bench") as bus,
            ):

                async def misses(task_ids: Sequence[str]) -> int:
                    log = await read_worker_log(bus, stack.log_folder, task_ids, timeout_s=LOG_TIMEOUT_S)
                    return len(log.missed)

                yield RunningSide(client=labelbus, loads=misses)
        if logs is not None:
            shutil.copytree(stack.log_folder, logs)


def _stack_settings(settings: PeersSettings, side: Side, folder: Path) -> StackSettings:
    return StackSettings(
        data=folder,
        model_repository=folder / "models",
        http_port=0,
        nats_port=0,
        workers=settings.workers,
        capacity=settings.capacity,
        slots=settings.slots,
        window=side.window,
        runtime="simulated",
        simulated_load_ms=settings.load_ms,
        threads=1,
        converter=False,
        start_timeout_s=settings.start_timeout_s,
    )
