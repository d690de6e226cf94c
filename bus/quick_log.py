"""Records of level INFO that come thousands of times a second, at a tenth of loguru's price."""

import asyncio
import functools
import sys
import time
from typing import Final, Protocol

import msgspec

from bus.logs import LEVELS, LogShipper, rfc3339
from bus.settings import BusSettings

GATHER_S: Final = 0.02
"""How long records gather before they are written: one write then serves a hundred of a busy worker."""


class Entry(Protocol):
    """What is logged. It is put into words when it is written, which is not while somebody waits for an answer."""

    def event(self) -> str:
        """What happened."""

    def fields(self) -> msgspec.Struct:
        """To whom, and how; it must be JSON as it is."""


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """As `bus.messages.LogRecord`, with fields that are JSON already."""

    time: str
    level: str
    component: str
    id: str
    event: str
    fields: msgspec.Raw


class QuickLog:
    """They go where loguru's go (stderr in the format of the settings, and the bus), and look the same, uncoloured.

    What was logged is written within `GATHER_S`, or by `flush`.
    """

    def __init__(self, settings: BusSettings, *, component: str, component_id: str, shipper: LogShipper) -> None:
        self._wanted = LEVELS.index(settings.log_level) <= LEVELS.index("INFO")
        self._json = settings.log_format == "json"
        self._component = component
        self._component_id = component_id
        self._shipper = shipper
        self._loop = asyncio.get_running_loop()
        self._encode = msgspec.json.Encoder().encode
        self._pending: list[tuple[float, Entry]] = []

    def add(self, entry: Entry) -> None:
        """Log this, as of now."""
        if not self._wanted:
            return
        if not self._pending:
            self._loop.call_later(GATHER_S, self.flush)
        self._pending.append((time.time(), entry))

    def flush(self) -> None:
        """Write what was logged so far."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        records: list[bytes] = []
        texts: list[str] = []
        for unix_s, entry in pending:
            event, fields = entry.event(), self._encode(entry.fields())
            record = _Record(
                time=rfc3339(unix_s),
                level="INFO",
                component=self._component,
                id=self._component_id,
                event=event,
                fields=msgspec.Raw(fields),
            )
            records.append(self._encode(record))
            if not self._json:
                clock = f"{_local_second(int(unix_s))}.{int(unix_s % 1 * 1000):03}"
                texts.append(f"{clock} INFO    {self._component}/{self._component_id} {event} {fields.decode()}")
        self._shipper.add(records)
        sys.stderr.write(b"\n".join(records).decode() + "\n" if self._json else "\n".join(texts) + "\n")


@functools.lru_cache(maxsize=8)
def _local_second(unix_s: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(unix_s))
