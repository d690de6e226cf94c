"""A Triton of the worker's own, from the wheel: started and stopped with the worker, restarted when it dies."""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from loguru import logger

from bus.backoff import Backoff
from bus.errors import RuntimeUnavailableError
from worker.local_triton.command import LocalTritonOptions, grpc_target
from worker.local_triton.files import LocalTritonFiles
from worker.local_triton.process import TritonProcess, new_folder
from worker.runtimes.protocol import LabelsLost, Tensors
from worker.runtimes.triton import TritonRuntime

_RESTART_WAIT_S: Final = 5.0
"""Longest wait of a load for a restart that is under way; then the task is sent elsewhere."""

_PAUSES: Final = Backoff(first_s=0.1, max_s=10.0)
_SETTLED_S: Final = 30.0
"""A server that lived so long is restarted at once."""


def restart_delay_s(short_lives: int) -> float:
    """Return the pause before the next start, after so many servers in a row that died early."""
    return _PAUSES.delay_s(short_lives) if short_lives else 0.0


class LocalTritonRuntime:
    """A `TritonRuntime` with a server of its own. After a restart labels must be loaded again."""

    name: str = "triton"

    def __init__(
        self,
        files: LocalTritonFiles,
        options: LocalTritonOptions,
        *,
        start_timeout_s: float = 60.0,
        load_timeout_s: float = 120.0,
    ) -> None:
        self._files = files
        self._options = options
        self._start_timeout_s = start_timeout_s
        self._load_timeout_s = load_timeout_s
        self._on_lost: LabelsLost = lambda _: None
        self._folder: Path | None = None
        self._process: TritonProcess | None = None
        self._client: TritonRuntime | None = None
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def process(self) -> TritonProcess | None:
        """The server that runs now, if any; for tests and measurements."""
        return self._process

    def on_labels_lost(self, callback: LabelsLost) -> None:
        """See `Runtime`."""
        self._on_lost = callback

    async def start(self) -> None:
        """Start the server, and wait until it answers."""
        self._folder = new_folder()
        self._client = TritonRuntime(
            grpc_target(self._folder),
            repository=self._options.model_repository,
            start_timeout_s=self._start_timeout_s,
            load_timeout_s=self._load_timeout_s,
            reconnect_wait_s=_RESTART_WAIT_S,
        )
        self._client.on_labels_lost(self._on_lost)
        try:
            await self._launch(self._client.start)
        except BaseException:
            await self.stop()
            raise
        self._supervisor = asyncio.create_task(self._supervise(), name="local triton")

    async def stop(self) -> None:
        """End the server and everything that belongs to it."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
            self._supervisor = None
        if self._client is not None:
            await self._client.stop()
            self._client = None
        if self._process is not None:
            await self._process.stop()
            self._process = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)  # it is still there if the server was never started
            self._folder = None

    async def check(self, label: str) -> None:
        """See `Runtime`."""
        await self._running().check(label)

    async def load(self, label: str) -> None:
        """See `Runtime`. Waits up to 5 s for a server that is being restarted."""
        await self._running().load(label)

    async def unload(self, label: str) -> None:
        """See `Runtime`."""
        await self._running().unload(label)

    async def run(self, label: str, inputs: Tensors, *, timeout_s: float | None = None) -> Tensors:
        """See `Runtime`."""
        return await self._running().run(label, inputs, timeout_s=timeout_s)

    async def max_rows(self, label: str) -> int:
        """See `Runtime`."""
        return await self._running().max_rows(label)

    async def _launch(self, connect: Callable[[], Awaitable[None]]) -> None:
        """Start a server and connect to it; `RuntimeUnavailableError` with its last log lines if it dies first."""
        assert self._folder is not None
        process = await TritonProcess.start(self._files, self._options, self._folder)
        self._process = process
        connected = asyncio.ensure_future(connect())
        ended = asyncio.ensure_future(process.wait())
        try:
            await asyncio.wait({connected, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not connected.done():
                status = ended.result()
                raise RuntimeUnavailableError(f"Triton ended with status {status}: {process.last_words()}")
            connected.result()
        finally:
            for waiting in (connected, ended):
                waiting.cancel()
            await asyncio.gather(connected, ended, return_exceptions=True)

    async def _supervise(self) -> None:
        short_lives = 0
        while True:
            assert self._process is not None
            assert self._client is not None
            born_s = time.monotonic()
            status = await self._process.wait()
            self._client.lose_all()
            short_lives = 0 if time.monotonic() - born_s >= _SETTLED_S else short_lives + 1
            delay_s = restart_delay_s(short_lives)
            logger.bind(status=status, last_words=self._process.last_words(), delay_s=delay_s).error("triton died")
            await asyncio.sleep(delay_s)
            try:
                await self._launch(self._client.ready)
                logger.bind(pid=self._process.guard_pid).info("triton restarted")
            except RuntimeUnavailableError as exc:
                logger.bind(error=str(exc)).error("triton not restarted")
                await self._process.stop()

    def _running(self) -> TritonRuntime:
        if self._client is None:
            raise RuntimeUnavailableError("the local Triton is not started")
        return self._client
