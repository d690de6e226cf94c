"""The log of tasks: records of level INFO, thousands a second, in a tenth of loguru's time each.

`QuickLog` goes past loguru and keeps these of its promises: the level of the settings, stderr in the format of the
settings, the log stream, order among its own records, the time at which `add` was called, a record that cannot be
written costs no other, and nothing is lost at an orderly end (`flush`). It does not keep the others, and offers no way
to ask for them: no colours, no levels but INFO, no exceptions, no `bind`, `patch` or `contextualize`, no sinks beside
those two, no calls from other threads (`add` raises `RuntimeError` there), and its lines may come up to `GATHER_S`
after lines that loguru wrote later.
"""

import asyncio
import functools
import sys
import threading
import time
from typing import Final, Protocol

import msgspec
from loguru import logger

from bus.logs import LEVELS, LogShipper, rfc3339
from bus.settings import BusSettings

GATHER_S: Final = 0.02
"""Time for records to gather before they are written: one write then serves a hundred of a busy worker."""


class Entry(Protocol):
    """One thing to log. Its text is made when it is written, so that no answer waits for that."""

    def event(self) -> str:
        """Return the name of the event."""

    def fields(self) -> msgspec.Struct:
        """Return the fields of the record, which msgspec must be able to encode as JSON."""


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """A `bus.messages.LogRecord` whose fields are JSON already."""

    time: str
    level: str
    component: str
    id: str
    event: str
    fields: msgspec.Raw


class QuickLog:
    """A log of frequent records, which go where loguru's go and look the same, but without colours.

    Records are written within `GATHER_S`, or by `flush`.
    """

    def __init__(self, settings: BusSettings, *, component: str, component_id: str, shipper: LogShipper) -> None:
        self._wanted = LEVELS.index(settings.log_level) <= LEVELS.index("INFO")
        self._json = settings.log_format == "json"
        self._component = component
        self._component_id = component_id
        self._shipper = shipper
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._encode = msgspec.json.Encoder().encode
        self._pending: list[tuple[float, Entry]] = []

    def add(self, entry: Entry) -> None:
        """Log this entry with the present time; raises `RuntimeError` in any thread but the event loop's."""
        if threading.get_ident() != self._thread:
            raise RuntimeError("QuickLog.add was called outside its event loop's thread; use loguru's logger there")
        if not self._wanted:
            return
        if not self._pending:
            self._loop.call_later(GATHER_S, self.flush)
        self._pending.append((time.time(), entry))

    def flush(self) -> None:
        """Write the records logged so far."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        records: list[bytes] = []
        texts: list[str] = []
        for unix_s, entry in pending:
            try:
                event, fields = entry.event(), self._encode(entry.fields())
            except Exception:  # noqa: BLE001  # like a sink of loguru: one bad record costs no other
                logger.exception("record of the quick log cannot be written")
                continue
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
