"""What processes cost: CPU time from the kernel's books."""

import os
import sys
from pathlib import Path

_STAT_FIELDS_AFTER_NAME = slice(11, 13)  # utime and stime, counted from the state that follows the name


def cpu_s(pid: int) -> float | None:
    """Seconds of CPU (user and system, all threads) that a process has used; None where the kernel does not tell.

    Linux only; the grain is one tick of the kernel, a hundredth of a second.
    """
    if sys.platform != "linux":
        return None
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    ticks = stat.rpartition(")")[2].split()[_STAT_FIELDS_AFTER_NAME]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
