"""Log lines for what may happen thousands of times a second: at most one a second for each event.

`LogThrottle` decides and does no I/O; `ThrottledLogger` writes what it decides through loguru, with a timer of the
running event loop. Each line has the field `left_out`: how many like it were left out since the line before. Lines
and left-out ones add up to what happened; the last count of a burst is written when its second is over.

    log = ThrottledLogger()
    log.warning("message ignored", subject=msg.subject, reason=reason(exc))
    log.flush()     # at the end: what the timer would have written later
"""

import asyncio
import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from loguru import logger

INTERVAL_S: Final = 1.0


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line to write: the fields of its latest occurrence, and how many occurrences before it were left out."""

    event: str
    fields: Mapping[str, Any]
    left_out: int


class _Recent(msgspec.Struct):
    """One event within its interval: when its last line was written, and what was not written since."""

    written_at: float
    left_out: int = 0
    fields: Mapping[str, Any] = {}


class LogThrottle:
    """Decides which lines are written. Times are seconds on any one clock."""

    def __init__(self, *, interval_s: float = INTERVAL_S) -> None:
        self._interval_s = interval_s
        self._recent: dict[str, _Recent] = {}

    @property
    def due_at(self) -> float:
        """The time at which `take_due` has something to return; infinity if nothing was left out."""
        waiting = (recent.written_at for recent in self._recent.values() if recent.left_out)
        return min(waiting, default=math.inf) + self._interval_s

    def take(self, now: float, event: str, fields: Mapping[str, Any]) -> Line | None:
        """Return the line to write for this occurrence, or keep the occurrence for `take_due` and return None."""
        recent = self._recent.get(event)
        if recent is None or now - recent.written_at >= self._interval_s:
            self._recent[event] = _Recent(now)
            return Line(event=event, fields=fields, left_out=recent.left_out if recent else 0)
        recent.left_out += 1
        recent.fields = fields
        return None

    def take_due(self, now: float) -> list[Line]:
        """Return one line for each event whose interval is over and of which something was left out."""
        lines = []
        for event, recent in list(self._recent.items()):
            if now - recent.written_at < self._interval_s:
                continue
            if recent.left_out:
                lines.append(Line(event=event, fields=recent.fields, left_out=recent.left_out - 1))
                self._recent[event] = _Recent(now)
            else:
                del self._recent[event]
        return lines

    def take_all(self) -> list[Line]:
        """Return one line for each event of which something was left out, whether its interval is over or not."""
        return self.take_due(math.inf)


class ThrottledLogger:
    """A logger of warnings that writes each event at most once a second. Use it inside a running event loop."""

    def __init__(self, *, interval_s: float = INTERVAL_S) -> None:
        self._loop = asyncio.get_running_loop()
        self._throttle = LogThrottle(interval_s=interval_s)
        self._timer: asyncio.TimerHandle | None = None

    def warning(self, event: str, **fields: Any) -> None:
        """Log the event with these fields, now or, counted together with others like it, within a second.

        `event` is one of few constant texts, since each is remembered; what varies belongs into the fields.
        """
        line = self._throttle.take(self._loop.time(), event, fields)
        if line is not None:
            _write(line)
        elif self._timer is None:
            self._timer = self._loop.call_at(self._throttle.due_at, self._write_due)

    def flush(self) -> None:
        """Write what was left out and not yet written; call this before logging ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for line in self._throttle.take_all():
            _write(line)

    def _write_due(self) -> None:
        self._timer = None
        for line in self._throttle.take_due(self._loop.time()):
            _write(line)
        if self._throttle.due_at < math.inf:
            self._timer = self._loop.call_at(self._throttle.due_at, self._write_due)


def _write(line: Line) -> None:
    logger.bind(**line.fields, left_out=line.left_out).warning(line.event)
