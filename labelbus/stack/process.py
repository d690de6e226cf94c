"""One process of the local stack: started, awaited, restarted when it dies, stopped."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from bus.errors import UnavailableError

LAUNCHER: Final = Path(__file__).with_name("launch.py")
LOOK_S: Final = 0.05
BACKOFF_FIRST_S: Final = 0.5
BACKOFF_MOST_S: Final = 10.0
CALM_S: Final = 30.0
"""A process that lived for so long begins its backoff anew."""


class StackProcess:
    """A component of the local stack. Its output goes to `<folder>/<name>.out`, its health file is beside it."""

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, *, env: Mapping[str, str], grace_s: float = 15.0
    ) -> None:
        self.name: Final = name
        self.output: Final = folder / f"{name}.out"
        self.health: Final = folder / f"{name}.health"
        self.restarts = 0
        self._command = command
        self._env = dict(env)
        self._grace_s = grace_s
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process is not None else None

    async def start(self) -> None:
        """Start it; `ready` says when it is."""
        self.health.unlink(missing_ok=True)
        with self.output.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), *self._command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                env=self._env,
                start_new_session=True,  # Ctrl-C is the stack's to answer: it stops its parts in order
            )

    async def ready(self, timeout_s: float) -> None:
        """Returns when its health file is there; `UnavailableError` with its last words if it does not come."""
        end = time.monotonic() + timeout_s
        while not self.health.exists():
            if self.pid is None:
                raise UnavailableError(f"{self.name} ended while starting:\n{self.last_words()}")
            if time.monotonic() > end:
                raise UnavailableError(f"{self.name} was not ready after {timeout_s:.0f} s:\n{self.last_words()}")
            await asyncio.sleep(LOOK_S)

    async def ended(self) -> int:
        """The exit status, once it ends by itself."""
        assert self._process is not None
        return await self._process.wait()

    async def keep(self, tell: Callable[[str], None]) -> None:
        """Start it again whenever it dies, with growing pauses, until `stop`."""
        pause_s = BACKOFF_FIRST_S
        while self._process is not None:
            began = time.monotonic()
            status = await self._process.wait()
            if self._is_stopping():
                return
            pause_s = BACKOFF_FIRST_S if time.monotonic() - began > CALM_S else pause_s
            tell(f"{self.name} ended with status {status}; starting it again in {pause_s:g} s ({self.output})")
            await asyncio.sleep(pause_s)
            pause_s = min(BACKOFF_MOST_S, pause_s * 2)
            self.restarts += 1
            await self.start()

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL to its whole group when its grace is over."""
        self._stopping = True
        if self._process is None:
            return
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(self._grace_s):
                    await self._process.wait()
            except TimeoutError:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                await self._process.wait()

    def _is_stopping(self) -> bool:
        return self._stopping

    def last_words(self, lines: int = 15) -> str:
        """The end of its output."""
        with suppress(OSError):
            return "\n".join(self.output.read_text(errors="replace").splitlines()[-lines:])
        return ""
