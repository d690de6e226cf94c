"""Deadlines of HTTP connections: how long a client may be silent, slow to send and slow to read.

No request pays for a timer. One sweep a second, or oftener where a timeout is short, looks at every connection, so a
deadline is kept to within one sweep.
"""

import asyncio
from collections import Counter
from collections.abc import Collection
from enum import Enum
from typing import Final, Protocol

import msgspec
from loguru import logger

MAX_SWEEP_S: Final = 1.0
MIN_SWEEP_S: Final = 0.02
SWEEPS_PER_TIMEOUT: Final = 4

LINGER_S: Final = 30.0
"""Longest time for which a refused client may go on sending, as nginx's lingering_time."""

LINGER_QUIET_S: Final = 2.0
"""Time after which a refused client that sends next to nothing is taken to have read its answer."""


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Limits on a connection.

    Beside `body_s` a body, or a response on its way to the client, has one second more for every `min_bytes_per_s`
    bytes that got through: a slow client that makes progress is served, one that drips is not.
    """

    head_s: float
    body_s: float
    idle_s: float
    min_bytes_per_s: int


class Phase(Enum):
    """Phases of a connection."""

    IDLE = "idle"
    """No request is in flight and none has begun."""

    HEAD = "head"
    """A request line or headers have begun to arrive."""

    BODY = "body"
    """The body is awaited from the client."""

    SERVING = "serving"
    """The gateway's turn: no deadline but the task's own."""

    WRITING = "writing"
    """Parts of a response are still to be taken by the client."""

    LINGERING = "lingering"
    """The last response has been sent, and what the client still sends is dropped."""


class Stopwatch:
    """Time and bytes that one connection has spent in its phase, as far as the sweeps saw it."""

    __slots__ = ("_busy_at", "_bytes_at_first", "_bytes_at_last", "_last", "_request", "_since", "phase")

    def __init__(self) -> None:
        self.phase: Phase | None = None
        self._request: object = None
        self._since = self._last = self._busy_at = 0.0
        self._bytes_at_first = self._bytes_at_last = 0

    def observe(self, now: float, phase: Phase, request: object, moved: int, timeouts: Timeouts) -> None:
        """Record what a sweep saw: the phase, an object that stands for the request, and bytes moved in all."""
        if phase is not self.phase or request is not self._request:
            self.phase = phase
            self._request = request
            self._since = self._busy_at = now
            self._bytes_at_first = moved
        elif moved - self._bytes_at_last >= timeouts.min_bytes_per_s * (now - self._last):
            self._busy_at = now
        self._last = now
        self._bytes_at_last = moved

    def is_overdue(self, timeouts: Timeouts) -> bool:
        """Return whether the client has used up its time in this phase."""
        elapsed = self._last - self._since
        match self.phase:
            case Phase.IDLE:
                return elapsed > timeouts.idle_s
            case Phase.HEAD:
                return elapsed > timeouts.head_s
            case Phase.BODY | Phase.WRITING:
                earned = (self._bytes_at_last - self._bytes_at_first) / timeouts.min_bytes_per_s
                return elapsed > timeouts.body_s + earned
            case Phase.LINGERING:
                return elapsed > LINGER_S or self._last - self._busy_at > LINGER_QUIET_S
            case _:
                return False


class Swept(Protocol):
    """A connection under deadlines."""

    def enforce(self, now: float, timeouts: Timeouts) -> Phase | None:
        """Observe the connection; end it if its client is overdue, and return the phase it was in."""


class Sweep:
    """The one timer for all connections of a server."""

    def __init__(self, timeouts: Timeouts, connections: Collection[Swept]) -> None:
        self._timeouts = timeouts
        self._connections = connections
        shortest = min(timeouts.head_s, timeouts.body_s, timeouts.idle_s)
        self._every_s = min(MAX_SWEEP_S, max(MIN_SWEEP_S, shortest / SWEEPS_PER_TIMEOUT))
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Sweep from now on."""
        self._timer = asyncio.get_running_loop().call_later(self._every_s, self._sweep)

    def stop(self) -> None:
        """Sweep no longer."""
        if self._timer is not None:
            self._timer.cancel()

    def _sweep(self) -> None:
        self.start()
        now = asyncio.get_running_loop().time()
        ended = Counter(connection.enforce(now, self._timeouts) for connection in list(self._connections))
        slow = {phase.value: ended[phase] for phase in (Phase.HEAD, Phase.BODY, Phase.WRITING) if ended[phase]}
        if slow:
            logger.bind(**slow).info("slow clients disconnected")
