"""The clock of the times in messages."""

import time


class UnixClock:
    """A clock of Unix time in milliseconds that never goes back: read once, then advanced by the monotonic clock.

    A change of the machine's clock while a task is in flight does not affect it.
    """

    def __init__(self) -> None:
        self._start_ns = time.time_ns() - time.monotonic_ns()

    def now_ms(self) -> int:
        """Return the milliseconds since 1970, by the machine's clock at the start plus the time since then."""
        return (self._start_ns + time.monotonic_ns()) // 1_000_000
