"""A small program between a worker and its Triton: however the worker ends, the server and its stubs end with it.

    python -I -S guard.py <folder> <shared memory prefix> <grace in seconds> <command of the server …>

The guard runs the command and has a pipe from the worker as its standard input. When the pipe closes (the worker
closed it, or was killed) or on SIGTERM, the guard asks the server to end, and kills it after the grace period. When
the server has ended, by itself or not, the guard kills the rest of the server's process group, reaps its stubs,
removes the server's shared memory and the folder, and ends with the server's status. If the guard itself is killed,
the kernel kills the server, and each stub of our backend ends when it sees that; the worker, if it lives, removes the
leftovers.

The guard needs only the standard library and imports nothing of labelbus, so that it is up in 20 ms and stays small.
"""

import contextlib
import ctypes
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108  # where POSIX shared memory lies on Linux

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_CANNOT_EXECUTE: Final = 126


def remove_leftovers(folder: Path, prefix: str) -> None:
    """Remove the folder of a server that has ended, and its shared memory; no error if they are gone."""
    for region in SHARED_MEMORY.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def guard(command: Sequence[str], grace_s: float) -> int:
    """Run the command until it or the worker ends; return its exit status, negative for a signal."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # only a signal with a Python handler reaches the wake-up pipe
    server = _spawn(command)
    try:
        _watch(server, woken, grace_s)
    finally:
        # Not yet reaped, so its number is still its own: this reaches only stubs that outlived it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server, signal.SIGKILL)
        status = _reap_all(server)
    return status


def _spawn(command: Sequence[str]) -> int:
    guard_pid = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(command, guard_pid)
    with contextlib.suppress(
        PermissionError, ProcessLookupError
    ):  # parent and child both do this, whichever comes first
        os.setpgid(pid, pid)
    return pid


def _become(command: Sequence[str], guard_pid: int) -> NoReturn:
    """Turn the child into the server, in a process group of its own and killed with the guard."""
    try:
        os.setpgid(0, 0)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard_pid:
            os._exit(_CANNOT_EXECUTE)
        signal.set_wakeup_fd(-1)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.execv(command[0], list(command))  # noqa: S606  # no shell is wanted
    except OSError as exc:
        os.write(2, f"{command[0]}: {exc}\n".encode())
    finally:
        os._exit(_CANNOT_EXECUTE)


def _watch(server: int, woken: int, grace_s: float) -> None:
    """Return when the server has ended, without reaping it."""
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(woken, select.POLLIN)
    deadline: float | None = None
    while True:
        left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready = dict(poll.poll(None if left_s is None else left_s * 1000))
        asked = 0 in ready
        if woken in ready:
            asked = asked or any(number != signal.SIGCHLD for number in os.read(woken, 512))
        if _has_ended(server):
            return
        if asked and deadline is None:
            poll.unregister(0)
            deadline = time.monotonic() + grace_s
            os.kill(server, signal.SIGTERM)
        elif deadline is not None and time.monotonic() >= deadline:
            os.kill(server, signal.SIGKILL)
            deadline = time.monotonic() + grace_s


def _has_ended(server: int) -> bool:
    """Return whether the server has ended; reap orphans that came to the guard."""
    while True:
        state = os.waitid(os.P_PID, server, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if state is not None:
            return True
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return False
        if ended.si_pid != server:
            os.waitpid(ended.si_pid, 0)


def _reap_all(server: int) -> int:
    status = 0
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, code = os.waitpid(-1, 0)
            if pid == server:
                status = os.waitstatus_to_exitcode(code)
    return status


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def main(arguments: Sequence[str]) -> int:
    """Run the guard; return the exit status of the server, or 128 and the number of the signal that ended it."""
    folder, prefix, grace_s, *command = arguments
    try:
        status = guard(command, float(grace_s))
    finally:
        remove_leftovers(Path(folder), prefix)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
