"""The run of one child process, which always ends together with the processes that it started."""

import asyncio
import collections
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import msgspec
import psutil

from bus.errors import DeadlineError, UnavailableError, WorkerError
from converter.events import Event, Exported, ExportJob, Failed, Fetched, FetchJob, Step

R = TypeVar("R", Fetched, Exported)

OFFLINE: Final = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
"""Environment of a child that needs no network."""

_QUIET: Final = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
}
MEMORY_WATCH_S: Final = 0.1
_STDERR_LINES: Final = 20
_STDERR_CHARS: Final = 1000
_LINE_BYTES: Final = 1 << 20
_event_decoder = msgspec.json.Decoder(Event)


async def run_job(
    job: FetchJob | ExportJob,
    result_type: type[R],
    *,
    on_step: Callable[[Step], None],
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
    memory_limit_mb: int = 0,
) -> R:
    """Run the job in a process of its own and return its result.

    Raises the error that the child reports; `WorkerError`, with its last lines of stderr, if it ends without a result;
    `DeadlineError` after `timeout_s`; `UnavailableError` if no process can be started.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            job.module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **_QUIET, **(environment or {})},
            start_new_session=True,
            limit=_LINE_BYTES,
        )
    except OSError as exc:
        raise UnavailableError(f"cannot start a process for the conversion: {exc}") from exc
    try:
        async with asyncio.timeout(timeout_s):
            return await _converse(process, job, result_type, on_step, memory_limit_mb)
    except TimeoutError as exc:
        raise DeadlineError(
            f"the conversion was ended after {timeout_s:.0f} s: allow more with --conversion-timeout-s"
        ) from exc
    finally:
        await _end(process)


async def _converse(
    process: asyncio.subprocess.Process,
    job: FetchJob | ExportJob,
    result_type: type[R],
    on_step: Callable[[Step], None],
    memory_limit_mb: int,
) -> R:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    # If the child is dead already, its exit status will say so.
    with contextlib.suppress(ConnectionError):
        process.stdin.write(msgspec.json.encode(job) + b"\n")
        await process.stdin.drain()
    memory = _MemoryWatch(process, memory_limit_mb)
    async with asyncio.TaskGroup() as tasks:
        complaints = tasks.create_task(_last_lines(process.stderr))
        watch = tasks.create_task(memory.watch())
        last = await _read_events(process.stdout, on_step)
        status = await process.wait()
        await watch
    if isinstance(last, Failed):
        raise last.error()
    if isinstance(last, result_type):
        return last
    if memory.exceeded:
        raise WorkerError(
            f"the conversion was ended because it took more than {memory_limit_mb} MiB of memory: allow more with "
            "--memory-limit-mb"
        )
    raise WorkerError(_silent_end(status, complaints.result()))


async def _read_events(stream: asyncio.StreamReader, on_step: Callable[[Step], None]) -> Event | None:
    last: Event | None = None
    while line := await stream.readline():
        try:
            event = _event_decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if isinstance(event, Step):
            on_step(event)
        else:
            last = event
    return last


async def _last_lines(stream: asyncio.StreamReader) -> str:
    # By blocks, not by lines: a progress bar may never end its line.
    tail: collections.deque[bytes] = collections.deque(maxlen=2)
    while block := await stream.read(1 << 16):
        tail.append(block)
    lines = b"".join(tail).decode(errors="replace").strip().splitlines()
    return "\n".join(lines[-_STDERR_LINES:])[-_STDERR_CHARS:]


class _MemoryWatch:
    """A limit of a process's resident memory; `exceeded` once the process has been killed for it.

    Neither RLIMIT_DATA nor RLIMIT_AS would do: OpenBLAS retries a failed allocation for ever, and torch reserves far
    more address space than it uses.
    """

    def __init__(self, process: asyncio.subprocess.Process, limit_mb: int) -> None:
        self._process = process
        self._limit_bytes = limit_mb << 20
        self.exceeded = False

    async def watch(self) -> None:
        """Watch the process until it ends, and kill it if it exceeds the limit; a limit of 0 is none."""
        while self._limit_bytes and self._process.returncode is None:
            if _resident_bytes(self._process.pid) > self._limit_bytes:
                self.exceeded = True
                _kill_group(self._process)
                return
            await asyncio.sleep(MEMORY_WATCH_S)


def _resident_bytes(pid: int) -> int:
    """Return the resident memory of a process; 0 if it is gone."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _silent_end(status: int, stderr: str) -> str:
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    hint = "; the usual cause is too little memory" if status == -signal.SIGKILL else ""
    said = f"; the end of its stderr: {stderr}" if stderr else ""
    return f"the conversion's process {how}{hint}{said}"


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        _kill_group(process)
        await process.wait()
    if process.stdin:
        process.stdin.close()


def _kill_group(process: asyncio.subprocess.Process) -> None:
    # The child leads a session of its own, so that this kills it and all that it started, and nothing else.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
