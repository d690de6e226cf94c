"""CPU time of processes, as the kernel counts it."""

import os
import sys
from pathlib import Path

_STAT_FIELDS_AFTER_NAME = slice(11, 13)  # utime and stime, counted from the state that follows the name


def cpu_s(pid: int) -> float | None:
    """Return the CPU seconds (user and system, all threads) of a process so far; None where the kernel does not tell.

    Linux only. The resolution is one tick of the kernel, a hundredth of a second.
    """
    if sys.platform != "linux":
        return None
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    ticks = stat.rpartition(")")[2].split()[_STAT_FIELDS_AFTER_NAME]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
