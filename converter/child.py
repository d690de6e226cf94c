"""The main function of a child process: one job from stdin, events to stdout, and an end together with its parent.

Output of libraries goes to stderr, so that stdout carries events only.
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
    """Read a job, do the work, write its result or `Failed`, and exit with 0 or 1."""
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
    """Return whether the error says that memory is short; the loader, torch and C++ each say so in their own way."""
    return isinstance(exc, MemoryError) or any(sign in str(exc) for sign in _NO_MEMORY)


def out_of_room(exc: BaseException, folder: str | os.PathLike[str] = "") -> bool:
    """Return whether the error says that the disk is full.

    Only Python's own errors have a number. Rust's tokenizers raise a bare Exception with a text, and C++ may say no
    more than that a write failed: then the free space of `folder`, which was written to, decides.
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
        return WorkerError("the conversion ran out of memory: run it on a larger machine, or with fewer other programs")
    if out_of_room(exc):
        return UnavailableError(f"the disk is full ({exc}): make room and try again"[:MAX_MESSAGE_CHARS])
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
    # The parent keeps stdin open as long as it lives. This works where there is no PR_SET_PDEATHSIG, and when the
    # parent died before that call. os.read, since a lock on sys.stdin would block the exit.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def _exit(status: int) -> NoReturn:
    # A normal exit would take a second more, for thread pools of torch and onnxruntime that have nothing to save.
    sys.stderr.flush()
    os._exit(status)
