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

from bus.backoff import Backoff
from bus.errors import UnavailableError

LAUNCHER: Final = Path(__file__).with_name("launch.py")
LOOK_S: Final = 0.05
RESTARTS: Final = Backoff(0.5, 10.0)
SETTLED_S: Final = 30.0
"""Lifetime after which the next restart counts as the first."""


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
        """Start the process; `ready` returns when it can do its work."""
        self.health.unlink(missing_ok=True)
        with self.output.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), *self._command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                env=self._env,
                start_new_session=True,  # Ctrl-C goes to the stack alone, which stops its parts in order
            )

    async def ready(self, timeout_s: float) -> None:
        """Return when the health file exists; `UnavailableError` with the end of the output if it does not appear."""
        end = time.monotonic() + timeout_s
        while not self.health.exists():
            if self.pid is None:
                raise UnavailableError(f"{self.name} ended while starting:\n{self.last_words()}")
            if time.monotonic() > end:
                raise UnavailableError(f"{self.name} was not ready after {timeout_s:.0f} s:\n{self.last_words()}")
            await asyncio.sleep(LOOK_S)

    async def ended(self) -> int:
        """Wait until the process ends by itself and return its exit status."""
        assert self._process is not None
        return await self._process.wait()

    async def keep(self, tell: Callable[[str], None]) -> None:
        """Restart the process whenever it dies, after growing pauses, until `stop` is called."""
        short_lives = 0
        while self._process is not None:
            began = time.monotonic()
            status = await self._process.wait()
            if self._is_stopping():
                return
            short_lives = 1 if time.monotonic() - began > SETTLED_S else short_lives + 1
            pause_s = RESTARTS.delay_s(short_lives)
            tell(f"{self.name} ended with status {status}; starting it again in {pause_s:g} s ({self.output})")
            await asyncio.sleep(pause_s)
            self.restarts += 1
            await self.start()

    async def stop(self) -> None:
        """Send SIGTERM, and SIGKILL to the whole process group when the grace period is over."""
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
        """Return the end of the process's output."""
        with suppress(OSError):
            return "\n".join(self.output.read_text(errors="replace").splitlines()[-lines:])
        return ""
