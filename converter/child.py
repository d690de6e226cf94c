"""The frame of a child process: one job in on stdin, events out on stdout, and an end with its parent.

Whatever libraries print goes to stderr, so that stdout carries events only.
"""

import contextlib
import ctypes
import errno
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from typing import Final, NoReturn, TypeVar

import msgspec

from bus.errors import LabelbusError, UnavailableError, WorkerError
from converter.events import MAX_MESSAGE_CHARS, Event, ExportJob, FetchJob, Step, failed

Report = Callable[[Step], None]
Job = TypeVar("Job", FetchJob, ExportJob)

_PR_SET_PDEATHSIG: Final = 1
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)
_FULL_BYTES: Final = 4096
_NO_MEMORY: Final = ("allocate memory", "bad_alloc", "cannot map", "Failed to allocate")
_encode = msgspec.json.Encoder().encode


def run_child(job_type: type[Job], work: Callable[[Job, Report], Event]) -> NoReturn:
    """Read a job, do the work, write its result or `Failed`, and exit; 0 if there was a result."""
    events = _private_stdout()

    def say(event: Event) -> None:
        os.write(events, _encode(event) + b"\n")

    _die_with_parent()
    try:
        job = msgspec.json.decode(sys.stdin.buffer.readline(), type=job_type)
        threading.Thread(target=_end_at_eof, name="parent-watch", daemon=True).start()
        say(work(job, say))
    except LabelbusError as exc:
        say(failed(exc))
    except Exception as exc:  # noqa: BLE001  # three large libraries: their errors have no common root
        _print_traceback()
        say(failed(_named(exc)))
    else:
        _exit(0)
    _exit(1)


def out_of_memory(exc: BaseException) -> bool:
    """Whether the error means that there was too little memory, which the loader, torch and C++ each say otherwise."""
    return isinstance(exc, MemoryError) or any(sign in str(exc) for sign in _NO_MEMORY)


def out_of_room(exc: BaseException, folder: str | os.PathLike[str] = "") -> bool:
    """Whether the error means that the disk is full: only Python's own say so by a number.

    Rust's tokenizers raise a bare Exception with a text, and C++ may say no more than that a write failed: then the
    disk that was written to tells.
    """
    if isinstance(exc, OSError) and exc.errno in _NO_ROOM:
        return True
    if any(os.strerror(number) in str(exc) for number in _NO_ROOM):
        return True
    with contextlib.suppress(OSError):
        return bool(folder) and shutil.disk_usage(folder).free < _FULL_BYTES
    return False


def _named(exc: Exception) -> LabelbusError:
    if out_of_memory(exc):
        return WorkerError("the conversion ran out of memory: it needs a larger machine, or fewer things beside it")
    if out_of_room(exc):
        return UnavailableError(f"no room left while writing ({exc}): make room and try again"[:MAX_MESSAGE_CHARS])
    return WorkerError(f"{type(exc).__name__}: {exc}"[:MAX_MESSAGE_CHARS])


def _print_traceback() -> None:
    sys.excepthook(*sys.exc_info())


def _private_stdout() -> int:
    events = os.dup(1)
    os.dup2(2, 1)
    return events


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _end_at_eof() -> None:
    # The parent keeps stdin open for as long as it lives: this works where there is no PR_SET_PDEATHSIG, and when
    # the parent died before that call. os.read, since a lock on sys.stdin would stand in the way of the exit.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def _exit(status: int) -> NoReturn:
    # torch's and onnxruntime's thread pools have nothing to tidy up, and take a second to do it.
    sys.stderr.flush()
    os._exit(status)
