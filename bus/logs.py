"""Logging: loguru, set up once a process, to stderr and to the bus.

A record is an event name with bound fields, `logger.bind(task_id=…).info("task lost")`. On the bus it is JSON on
`lb.log.<component>.<id>`. Logging never waits: records go into a bounded buffer, and one task ships them, as many
to a message as have piled up, until the stream has acknowledged them. What does not fit is dropped and counted,
and the count is logged.
"""

import asyncio
import functools
import itertools
import logging
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, cast

import msgspec
from loguru import logger

from bus.backoff import Backoff
from bus.codec import encode_records
from bus.connection import Bus
from bus.errors import InvalidInputError, NotFoundError, UnavailableError
from bus.messages import LogRecord
from bus.settings import BusSettings
from bus.streams import ensure_log_stream

if TYPE_CHECKING:
    from loguru import FormatFunction, Message, Record

BUFFER_RECORDS: Final = 20_000
"""Some minutes of a busy worker, about 10 MB, so that a restart of NATS loses no record."""

BATCH_BYTES: Final = 256 * 1024
MAX_FIELD_CHARS: Final = 4_000
MAX_ERROR_CHARS: Final = 16_000
LINGER_S: Final = 0.02
"""Time for records to gather before they are shipped: thousands a second then cost fifty messages, not thousands."""

RETRY: Final = Backoff(0.02, 0.5)
HEADER_BYTES: Final = 1024
"""Room for the headers of a batch, which count towards the server's max_payload."""

ACK_TIMEOUT_S: Final = 2.0

LEVELS: Final = ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL")


def set_up_logging(settings: BusSettings, *, component: str, component_id: str) -> None:
    """Send every record of this process to stderr, also those of the standard library's `logging`."""
    logger.remove()
    logger.configure(extra={})
    if settings.log_format == "json":

        def write(message: "Message") -> None:
            sys.stderr.buffer.write(encode_records([to_record(message.record, component, component_id)]) + b"\n")
            sys.stderr.buffer.flush()

        logger.add(write, level=settings.log_level)
    else:
        logger.add(sys.stderr, level=settings.log_level, format=_text_format(component, component_id), diagnose=False)
    logging.basicConfig(handlers=[_ToLoguru()], level=logging.WARNING, force=True)


def to_record(record: "Record", component: str, component_id: str) -> LogRecord:
    """Convert a loguru record: fields that are not JSON become text, long ones are cut."""
    exception = record["exception"]
    error = ""
    if exception is not None:
        error = "".join(traceback.format_exception(exception.type, exception.value, exception.traceback))
    return LogRecord(
        time=rfc3339(record["time"].timestamp()),
        level=record["level"].name,
        component=component,
        id=component_id,
        event=_json_text(record["message"][:MAX_FIELD_CHARS]),
        fields={_json_text(key): _json_safe(value) for key, value in record["extra"].items()},
        error=_json_text(error[-MAX_ERROR_CHARS:]),
    )


def rfc3339(unix_s: float) -> str:
    """Format a Unix time as RFC 3339 in UTC with microseconds, which sorts as text."""
    second, micros = divmod(round(unix_s * 1_000_000), 1_000_000)
    return f"{_second_utc(second)}.{micros:06}Z"


@functools.lru_cache(maxsize=8)
def _second_utc(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class LogShipper:
    """The buffer and the sender of log records. Run `run()` as an owned task; `add()` never waits and never raises."""

    def __init__(self, bus: Bus, *, component: str, component_id: str, buffer_records: int = BUFFER_RECORDS) -> None:
        self._bus = bus
        self._component = component
        self._component_id = component_id
        self._subject = bus.subjects.log(component, component_id)
        self._buffer: deque[bytes] = deque()
        self._limit = buffer_records
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._batch_prefix = f"{component}-{component_id}-{time.time_ns()}"
        self._batches = 0
        self.dropped = 0
        self.shipped = 0
        self._dropped_told = 0

    def sink(self, message: "Message") -> None:
        """Ship one record of loguru, whose sink this is."""
        self.add([encode_records([to_record(message.record, self._component, self._component_id)])])

    def add(self, lines: Sequence[bytes]) -> None:
        """Ship these encoded records soon, or count them as dropped; callable from any thread."""
        room = max(0, self._limit - len(self._buffer))
        self.dropped += max(0, len(lines) - room)
        self._buffer.extend(lines[:room])
        if threading.get_ident() == self._thread:
            self._rouse()
        else:
            self._loop.call_soon_threadsafe(self._rouse)

    async def run(self) -> None:
        """Ship until cancelled; while NATS is away records wait in the buffer."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._buffer:
                await asyncio.sleep(LINGER_S)
                if batch := self._next_batch():
                    await self._ship(batch)
            self._empty.set()
            self._tell_dropped()

    async def drain(self, timeout_s: float) -> None:
        """Wait until everything logged so far is in the stream, or the time is over and the rest is lost."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        except TimeoutError:
            sys.stderr.write(f"labelbus: {len(self._buffer)} log records did not reach the log stream\n")

    def _rouse(self) -> None:
        self._empty.clear()
        self._wake.set()

    def _next_batch(self) -> list[bytes]:
        batch: list[bytes] = []
        size = 0
        most = self._bus.max_payload_bytes - HEADER_BYTES
        while self._buffer and size < min(BATCH_BYTES, most):
            line = self._buffer[0]
            if size and size + len(line) > most:
                break
            self._buffer.popleft()
            if len(line) > most:  # the server would close the connection
                self.dropped += 1
                continue
            size += len(line) + 1
            batch.append(line)
        return batch

    async def _ship(self, batch: list[bytes]) -> None:
        """Publish until acknowledged; the message id lets the stream drop what it has already."""
        self._batches += 1
        message_id = f"{self._batch_prefix}-{self._batches}"
        for attempt in itertools.count(1):
            try:
                await self._bus.store(self._subject, b"\n".join(batch), timeout_s=ACK_TIMEOUT_S, message_id=message_id)
            except NotFoundError:
                with suppress(UnavailableError):
                    await ensure_log_stream(self._bus)
            except UnavailableError:
                pass
            except InvalidInputError:  # over a limit of the server or the stream: no attempt will succeed
                self.dropped += len(batch)
                return
            else:
                self.shipped += len(batch)
                return
            await asyncio.sleep(RETRY.delay_s(attempt))

    def _tell_dropped(self) -> None:
        if self.dropped > self._dropped_told:
            count, self._dropped_told = self.dropped - self._dropped_told, self.dropped
            logger.bind(dropped=count, dropped_in_all=self.dropped).warning(
                "log records dropped: the buffer was full, or a record was too large"
            )


class _ToLoguru(logging.Handler):
    """A handler that gives the records of `logging` (uvicorn, litestar, nats) to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        level: str | int = record.levelname if record.levelname in LEVELS else record.levelno
        logger.bind(logger=record.name).opt(exception=record.exc_info).log(level, record.getMessage())


def _json_safe(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_json_safe(item) for item in value[:100]]
    if isinstance(value, dict):
        return {_json_text(str(key)): _json_safe(item) for key, item in list(value.items())[:100]}
    return _json_text(str(value)[:MAX_FIELD_CHARS])


def _json_text(text: str) -> str:
    """Return the text with half surrogates, which JSON cannot hold, as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def text_of_fields(fields: dict[str, object]) -> str:
    """Format the fields of a record as JSON, in a quarter of the time of `repr`; empty if there are none."""
    if not fields:
        return ""
    try:
        return _encode_fields(fields).decode()
    except (TypeError, UnicodeError):  # a key, or half a surrogate, that is no JSON
        return repr(fields)


_encode_fields = msgspec.json.Encoder(enc_hook=str).encode


def _text_format(component: str, component_id: str) -> "FormatFunction":
    line = (
        "<green>{time:HH:mm:ss.SSS}</green> <level>{level: <7}</level> "
        f"<cyan>{component}/{component_id}</cyan> "
        "{message} <dim>{fields}</dim>\n{exception}"
    )

    def text(record: "Record") -> str:
        cast("dict[str, object]", record)["fields"] = text_of_fields(record["extra"])
        return line

    return text
