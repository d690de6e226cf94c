"""A launcher of a command that ends when its parent does, even if the parent is killed.

    python -I -S launch.py <parent's process id> <command …>

On Linux the kernel sends SIGTERM when the parent dies; elsewhere this only runs the command. Standard library only.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Replace this process with the command."""
    parent, *command = arguments
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != int(parent):  # the parent ended before prctl took effect
            sys.exit(1)
    os.execv(command[0], command)  # noqa: S606  # no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
