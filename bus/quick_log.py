"""Records of level INFO that come thousands of times a second, at a tenth of loguru's price."""

import asyncio
import functools
import sys
import time
from typing import Final

import msgspec

from bus.logs import LEVELS, LogShipper, rfc3339, text_of_fields
from bus.messages import LogRecord
from bus.settings import BusSettings

GATHER_S: Final = 0.02
"""How long records gather before they are written: one write then serves a hundred of a busy worker."""


class QuickLog:
    """They go where loguru's go (stderr in the format of the settings, and the bus), and look the same, uncoloured.

    What was logged is written within `GATHER_S`, or by `flush`. The fields must be JSON as they are.
    """

    def __init__(self, settings: BusSettings, *, component: str, component_id: str, shipper: LogShipper) -> None:
        self._wanted = LEVELS.index(settings.log_level) <= LEVELS.index("INFO")
        self._json = settings.log_format == "json"
        self._component = component
        self._component_id = component_id
        self._shipper = shipper
        self._loop = asyncio.get_running_loop()
        self._encode = msgspec.json.Encoder().encode
        self._pending: list[tuple[float, str, dict[str, object]]] = []

    def event(self, event: str, **fields: object) -> None:
        """Like `bus.logs.log_event`."""
        if not self._wanted:
            return
        if not self._pending:
            self._loop.call_later(GATHER_S, self.flush)
        self._pending.append((time.time(), event, fields))

    def flush(self) -> None:
        """Write what was logged so far."""
        pending, self._pending = self._pending, []
        lines = []
        for unix_s, event, fields in pending:
            record = LogRecord(
                time=rfc3339(unix_s),
                level="INFO",
                component=self._component,
                id=self._component_id,
                event=event,
                fields=fields,
            )
            self._shipper.add(record)
            lines.append(self._encode(record).decode() if self._json else self._text(unix_s, event, fields))
        if lines:
            sys.stderr.write("\n".join(lines) + "\n")

    def _text(self, unix_s: float, event: str, fields: dict[str, object]) -> str:
        clock = f"{_local_second(int(unix_s))}.{int(unix_s % 1 * 1000):03}"
        return f"{clock} INFO    {self._component}/{self._component_id} {event} {text_of_fields(fields)}"


@functools.lru_cache(maxsize=8)
def _local_second(unix_s: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(unix_s))
