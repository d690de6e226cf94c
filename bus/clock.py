"""Time as messages carry it."""

import time


class UnixClock:
    """Unix time in milliseconds that only ever goes forward: read once, and counted on from there.

    Somebody may set the machine's clock while a task is under way; what this clock says is not moved by it.
    """

    def __init__(self) -> None:
        self._start_ns = time.time_ns() - time.monotonic_ns()

    def now_ms(self) -> int:
        """Milliseconds since 1970, as the machine's clock had it at the start."""
        return (self._start_ns + time.monotonic_ns()) // 1_000_000
