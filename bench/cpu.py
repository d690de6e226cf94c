"""CPU time of processes."""

import psutil


def cpu_s(pid: int) -> float | None:
    """Return the seconds of CPU (user and system, all threads) that a process has used; None if there is no such one.

    The grain is the kernel's: on Linux a hundredth of a second.
    """
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return None
    return times.user + times.system
