"""Pools of real processes on a NATS of their own, to be killed, stopped and restarted."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil

from bench.chaos.gateway import Gateway
from bench.chaos.load import Load, Outcome
from labelbus.stack.ports import free_ports
from labelbus.stack.process import StackProcess
from tests.nats_server import LocalNats

DEADLINE_S = 30.0
LABELS = ("acme/a", "acme/b", "acme/c", "acme/d")
ROOT = Path(__file__).parents[2]


class Part(StackProcess):
    """A component's process, which tests may kill or stop."""

    def send(self, how: signal.Signals) -> None:
        """Send a signal to the component itself."""
        assert self.pid is not None
        os.kill(self.pid, how)

    async def kill(self) -> None:
        """Send SIGKILL, and wait until the process is gone."""
        self.send(signal.SIGKILL)
        await self.ended()

    async def ended(self) -> int:
        """Wait until the process ends by itself; return the exit status."""
        async with asyncio.timeout(DEADLINE_S):
            return await super().ended()

    def rss_mb(self) -> float:
        """Return the memory in use."""
        return float(psutil.Process(self.pid).memory_info().rss) / 2**20

    def open_files(self) -> int:
        return int(psutil.Process(self.pid).num_fds())


class Pool:
    """NATS and components as processes, each by name in `parts`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.nats = LocalNats(folder / "nats")
        self.nats.start()
        self.parts: dict[str, Part] = {}
        self.gateways: dict[str, Gateway] = {}
        self.logs = folder / "logs"

    async def worker(self, name: str, *flags: str, runtime: str = "simulated", **env: str) -> Part:
        """Start a worker without waiting until it is ready."""
        defaults = ("--runtime", runtime, "--simulated-load-ms", "30", "--capacity", "4", "--slots", "2")
        return await self._start(name, "worker", "--worker-id", name, *defaults, *flags, **env)

    async def dispatcher(self, name: str = "d1", *flags: str) -> Part:
        """Start a dispatcher without waiting until it is ready, and a client of it in `gateways`."""
        (port,) = free_ports((0, ""))
        self.gateways[name] = Gateway(port)
        return await self._start(name, "dispatcher", "--dispatcher-id", name, "--http-port", str(port), *flags)

    async def logsink(self) -> Part:
        return await self._start("logsink", "logsink", "--log-folder", str(self.logs))

    async def converter(self, name: str, repository: Path, *flags: str) -> Part:
        """Start a converter without waiting until it is ready."""
        folders = ("--model-repository", str(repository), "--allow-folder", str(self.folder / "models"))
        return await self._start(name, "converter", "--converter-id", name, *folders, *flags)

    async def ready(self) -> None:
        """Return when every part is ready and every dispatcher knows every worker."""
        await asyncio.gather(*(part.ready(DEADLINE_S) for part in self.parts.values()))
        workers = {name for name, part in self.parts.items() if name.startswith("w")}
        for gateway in self.gateways.values():
            await self.until(lambda gateway=gateway: self._knows(gateway, workers))  # type: ignore[misc]

    async def _knows(self, gateway: Gateway, workers: set[str]) -> bool:
        return set((await gateway.call("GET", "/workers")).json()["workers"]) == workers

    @property
    def gateway(self) -> Gateway:
        return next(iter(self.gateways.values()))

    async def workers(self) -> set[str]:
        return set((await self.gateway.call("GET", "/workers")).json()["workers"])

    async def until(self, condition: Callable[[], Awaitable[bool]], *, deadline_s: float = DEADLINE_S) -> float:
        """Wait until the condition holds; return the seconds that it took."""
        began = time.monotonic()
        async with asyncio.timeout(deadline_s):
            while True:
                try:
                    if await condition():
                        return time.monotonic() - began
                except (OSError, EOFError, psutil.NoSuchProcess):
                    pass
                await asyncio.sleep(0.02)

    async def until_workers(self, *names: str) -> float:
        """Wait until the gateway knows exactly these workers; return the seconds that it took."""

        async def so() -> bool:
            return await self.workers() == set(names)

        return await self.until(so)

    async def until_said(self, part: str, event: str, *, times: int = 1) -> None:
        """Return when the component has logged this event so many times."""

        async def said() -> bool:
            return len(self.said(part, event)) >= times

        await self.until(said)

    def said(self, part: str, event: str) -> list[dict[str, Any]]:
        """Return the log records of a component with this event, from its stderr."""
        lines = self.parts[part].output.read_text().splitlines()
        records = [json.loads(line) for line in lines if line.startswith("{")]
        return [record for record in records if record["event"].startswith(event)]

    async def close(self) -> None:
        for part in self.parts.values():
            if part.pid is not None:
                part.send(signal.SIGCONT)
        await asyncio.gather(*(part.stop() for part in self.parts.values()))
        for gateway in self.gateways.values():
            gateway.close()
        self.nats.close()

    async def _start(self, name: str, component: str, *flags: str, **env: str) -> Part:
        command = [sys.executable, "-m", component, *flags]
        kept = {key: value for key, value in os.environ.items() if not key.startswith("LABELBUS_")}
        whole = kept | {
            "LABELBUS_NATS_URL": self.nats.url,
            "LABELBUS_LOG_FORMAT": "json",
            "LABELBUS_HEALTH_FILE": str(self.folder / f"{name}.health"),
            "PYTHONPATH": os.pathsep.join([env.pop("PYTHONPATH", ""), str(ROOT)]).strip(os.pathsep),
        }
        part = self.parts[name] = Part(name, command, self.folder, env=whole | env, grace_s=20)
        await part.start()
        return part


async def under_load(
    pool: Pool, fault: Callable[[], Awaitable[None]], *, rate: float = 25.0, sleep_ms: float = 40.0, **more: Any
) -> list[Outcome]:
    """Run a load before, during and after the fault; return its outcomes."""
    load = Load(list(pool.gateways.values()), LABELS, rate=rate, sleep_ms=sleep_ms, **more)
    running = asyncio.create_task(load.run())

    async def answered(count: int) -> bool:
        return len(load.outcomes) >= count

    try:
        await pool.until(lambda: answered(20))
        await fault()
        sent = load.sent
        await pool.until(lambda: answered(sent))
    finally:
        load.stop()
        await running
    return load.outcomes


def all_right(outcomes: list[Outcome]) -> bool:
    """Assert that every task was answered, and with its own answer; return True."""
    bad = [outcome for outcome in outcomes if not (outcome.answered and outcome.right)]
    assert bad == [], f"{len(bad)} of {len(outcomes)}: {bad[:5]}"
    return True
