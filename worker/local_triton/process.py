"""One life of a local Triton: a folder, a guard, the server and its stubs."""

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil
from loguru import logger

from bus.errors import RuntimeUnavailableError
from worker.local_triton.command import (
    LocalTritonOptions,
    grpc_target,
    server_command,
    server_environment,
    write_backends,
)
from worker.local_triton.files import GUARD, LocalTritonFiles
from worker.local_triton.guard import remove_leftovers

_LAST_LINES: Final = 20
_SOCKET_PATH_BYTES: Final = 90
"""Limit of the folder's path: that of a Unix socket has at most 107 bytes, its own name included."""


def new_folder() -> Path:
    """Make a folder for a Triton among the temporary files, for its owner alone."""
    folder = Path(tempfile.mkdtemp(prefix="labelbus-triton-"))
    if len(os.fsencode(folder)) > _SOCKET_PATH_BYTES:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="labelbus-triton-", dir="/tmp"))  # a short path
    return folder


class TritonProcess:
    """A Triton that was started. When `wait` returns, nothing of it is left on this machine, whatever was killed."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path, shm_prefix: str, grace_s: float) -> None:
        self._process = process
        self._folder = folder
        self._shm_prefix = shm_prefix
        self._grace_s = grace_s
        self._lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._reader = asyncio.create_task(self._read_log()) if process.stdout else None

    @classmethod
    async def start(cls, files: LocalTritonFiles, options: LocalTritonOptions, folder: Path) -> "TritonProcess":
        """Start the server in the folder, which is made if it is missing; do not wait until the server answers.

        Raises `RuntimeUnavailableError` if the server cannot be started.
        """
        prefix = f"labelbus-{secrets.token_hex(6)}-"
        try:
            await asyncio.to_thread(_prepare, files, options, folder)
            with _log_target(options.log_file) as log:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-I", "-S", str(GUARD), str(folder), prefix, str(options.grace_s)),
                    *server_command(files, options, folder, prefix),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=log,
                    stderr=asyncio.subprocess.STDOUT,
                    env=server_environment(files, options, os.environ),
                    start_new_session=True,  # Ctrl-C at a terminal is for the worker to handle
                )
        except OSError as exc:
            remove_leftovers(folder, prefix)
            raise RuntimeUnavailableError(f"Triton cannot be started: {exc}") from exc
        return cls(process, folder, prefix, options.grace_s)

    @property
    def target(self) -> str:
        """The gRPC target of the server."""
        return grpc_target(self._folder)

    @property
    def guard_pid(self) -> int:
        """The process id of the guard, parent of the server and its stubs."""
        return self._process.pid

    async def wait(self) -> int:
        """Wait for the server and its stubs to end; return its status: 128 and more a signal, below 0 the guard's."""
        status = await self._process.wait()
        if status < 0:  # the guard was killed, and could not end the others
            await asyncio.to_thread(_kill_session, self._process.pid)
        if self._reader is not None:
            await asyncio.wait({self._reader})  # unlike a bare await, a cancellation here does not cancel the reader
        remove_leftovers(self._folder, self._shm_prefix)  # already done by the guard, unless it was killed itself
        return status

    async def stop(self) -> None:
        """End the server: ask it, and kill it when its grace period is over. Idempotent."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(2 * self._grace_s + 1):
                await self.wait()
        except TimeoutError:
            self._process.kill()
            await self.wait()

    def last_words(self) -> str:
        """Return the last errors that the server logged, else its last lines; empty if it logs to a file."""
        lines = [line for line in self._lines if line.startswith(("E", "F"))] or list(self._lines)[-3:]
        return " | ".join(lines)

    async def _read_log(self) -> None:
        """Read until every process has closed the pipe. A reader that stopped early would block the server."""
        assert self._process.stdout is not None
        rest = b""
        while chunk := await self._process.stdout.read(1 << 16):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._log(line)
        self._log(rest)

    def _log(self, line: bytes) -> None:
        if text := line.decode(errors="replace").strip():
            self._lines.append(text)
            logger.bind(line=text).debug("triton log")


def _prepare(files: LocalTritonFiles, options: LocalTritonOptions, folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    options.model_repository.mkdir(parents=True, exist_ok=True)
    write_backends(files, folder)


def _log_target(path: Path | None) -> contextlib.AbstractContextManager[int]:
    """Return the output of the subprocess: a pipe, or the file's descriptor while it is needed."""
    return contextlib.nullcontext(asyncio.subprocess.PIPE) if path is None else _opened(path)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        yield file.fileno()


def _kill_session(leader: int) -> None:
    """Kill the remaining processes of the session of a guard that has ended."""
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, PermissionError):  # ended meanwhile, or another user's
            if os.getsid(pid) == leader:
                os.kill(pid, signal.SIGKILL)
