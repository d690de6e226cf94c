"""The log sink: from the stream to the files, each record once.

    pull a portion → write it (`logsink.files`) → fsync → acknowledge

Nothing is acknowledged before it is on the disk. Each session with the server begins with a consumer of its own,
made anew behind what is known to be written, so that messages come strictly in the order of the stream whatever was
under way when the last session ended; what was written but not acknowledged then is passed over by its number. While
the disk refuses, the portion at hand is tried again and again and the rest waits in the stream.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Final, Literal

import msgspec
import nats.errors
from loguru import logger
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from bus.connection import Bus
from bus.errors import ConflictError, UnavailableError, reason
from bus.streams import ensure_log_stream
from logsink.files import Entry, LogFolder, open_folder
from logsink.layout import day_of, source_of_subject
from logsink.lines import to_lines
from logsink.position import Position, resume
from logsink.pull import Pulled, Puller
from logsink.settings import LogsinkSettings

RETRY_FIRST_S: Final = 0.5
RETRY_MOST_S: Final = 10.0
TELL_AGAIN_S: Final = 60.0
"""A lasting fault is logged once a minute: these records are records too."""

LOCK_PATIENCE_S: Final = 15.0
"""A sink that is being replaced may still be finishing."""

HOUSEKEEPING_S: Final = 300.0
ACK_WAIT_S: Final = 120.0


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How the sink does. `failing`: records wait in the stream for the `reason` given, and none is lost."""

    state: Literal["starting", "ok", "failing"] = "starting"
    reason: str = ""
    records: int = 0
    unreadable: int = 0
    again: int = 0


class LogSink:
    """Writes the log stream to files until `stopping` is set. `run` may be called once."""

    def __init__(self, bus: Bus, settings: LogsinkSettings, stopping: asyncio.Event) -> None:
        self._bus = bus
        self._settings = settings
        self._stopping = stopping
        self._folder: LogFolder | None = None
        self._puller: Puller | None = None
        self._renew = asyncio.Event()
        self._told_fault_at = 0.0
        self._told_unreadable_at = 0.0
        self._told_unreadable = 0
        self._cleaned_at = 0.0
        self.health = Health()
        bus.on_reconnect(self._reconnected)

    async def run(self) -> None:
        """Session after session; `ConflictError` if another sink keeps the folder."""
        wake = asyncio.create_task(self._wake_to_stop())
        try:
            while not self._stopping.is_set():
                await self._persist(self._session, self._renew)
        finally:
            wake.cancel()
            if self._folder is not None:
                self._folder.close()
            counts = self.health
            logger.bind(records=counts.records, unreadable=counts.unreadable, again=counts.again).info("log sink ends")

    async def _session(self) -> None:
        self._renew.clear()
        try:
            folder = self._folder = self._folder or await self._open_folder()
            await ensure_log_stream(self._bus)
            position = await self._resume(folder)
            consumer = await self._make_consumer(position)
            await self._read(folder, position, consumer)
        except (nats.errors.Error, JetStreamError, TimeoutError) as exc:
            raise UnavailableError(f"the log stream is out of reach: {reason(exc)}") from exc

    async def _open_folder(self) -> LogFolder:
        deadline = time.monotonic() + LOCK_PATIENCE_S
        limit = int(self._settings.rotate_mb * 1e6)
        while True:
            try:
                return await asyncio.to_thread(open_folder, self._settings.log_folder, limit_bytes=limit)
            except ConflictError:
                if time.monotonic() > deadline or self._stopping.is_set():
                    raise
                await self._pause(RETRY_FIRST_S)

    async def _resume(self, folder: LogFolder) -> Position:
        """Where to go on; kept on the disk, since the consumer that knows it too is about to be removed."""
        stream, durable = self._bus.subjects.log_stream, self._settings.log_consumer
        info = await self._bus.js.stream_info(stream)
        known = folder.position()
        position = resume(
            known,
            stream=stream,
            created=str(info.created),
            last_stream_seq=info.state.last_seq,
            highest_seq=folder.highest_seq,
        )
        with suppress(NotFoundError):
            consumer = await self._bus.js.consumer_info(stream, durable)
            floor = consumer.ack_floor.stream_seq if consumer.ack_floor else 0
            position = msgspec.structs.replace(position, written=max(position.written, floor))
        if position != known:
            if known is not None and position.base != known.base:
                logger.bind(stream=stream).warning("the log stream was made anew; going on from its beginning")
            await asyncio.to_thread(folder.keep_position, position)
        return position

    async def _make_consumer(self, position: Position) -> ConsumerInfo:
        stream, durable = self._bus.subjects.log_stream, self._settings.log_consumer
        with suppress(NotFoundError):
            await self._bus.js.delete_consumer(stream, durable)
        return await self._bus.js.add_consumer(
            stream,
            ConsumerConfig(
                name=durable,
                durable_name=durable,
                description="labelbus: the log sink",
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=position.written + 1,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT_S,
                max_deliver=-1,
                filter_subject=self._bus.subjects.log_all,
                max_ack_pending=4 * self._settings.batch_messages,
            ),
        )

    async def _read(self, folder: LogFolder, position: Position, consumer: ConsumerInfo) -> None:
        waiting = consumer.num_pending or 0
        logger.bind(waiting=waiting, folder=str(self._settings.log_folder)).info("log sink reads the stream")
        caught_up = waiting < self._settings.batch_messages
        puller = self._puller = Puller(
            self._bus, self._settings.log_consumer, batch_messages=self._settings.batch_messages
        )
        self._well()
        await puller.start()
        try:
            while not self._stopping.is_set() and not self._renew.is_set():
                await self._clean_up(folder)
                pulled = await puller.take(linger_s=self._settings.linger_ms / 1000)
                if not pulled:
                    continue
                entries = [self._entry(position, one) for one in pulled]
                if not await self._persist(partial(self._write, folder, entries)):
                    return
                for one in pulled:
                    await one.message.ack()
                waiting -= len(pulled)
                if not caught_up and waiting <= 0:
                    caught_up = True
                    logger.bind(records=self.health.records).info("log sink has caught up")
        except UnavailableError:
            if not self._stopping.is_set() and not self._renew.is_set():
                raise
        finally:
            self._puller = None
            await puller.stop()

    def _entry(self, position: Position, pulled: Pulled) -> Entry:
        subject = pulled.message.subject
        source = source_of_subject(self._bus.subjects, subject)
        seq = position.seq(pulled.stream_seq)
        lines = to_lines(pulled.message.data, subject=subject, source=source, seq=seq, unix_ns=pulled.unix_ns)
        return Entry(source=source, seq=seq, day=day_of(pulled.unix_ns), lines=lines)

    async def _write(self, folder: LogFolder, entries: list[Entry]) -> None:
        written = await asyncio.to_thread(folder.write, entries)
        health = self.health
        self.health = msgspec.structs.replace(
            health,
            records=health.records + written.records,
            unreadable=health.unreadable + written.unreadable,
            again=health.again + written.again,
        )
        self._well()
        self._tell_unreadable()

    async def _persist(self, attempt: Callable[[], Awaitable[None]], *wake: asyncio.Event) -> bool:
        """Try until it succeeds, ever less often, or at once on `wake`; False if it is time to stop first."""
        pause_s = RETRY_FIRST_S
        while True:
            try:
                await attempt()
            except UnavailableError as exc:
                if self.health.state == "ok":
                    pause_s = RETRY_FIRST_S
                self._unwell(str(exc))
            else:
                return True
            await self._pause(pause_s, *wake)
            if self._stopping.is_set():
                return False
            pause_s = min(2 * pause_s, RETRY_MOST_S)

    async def _pause(self, seconds: float, *wake: asyncio.Event) -> None:
        """Wait, but not past the signal to stop or one of the events."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self._stopping, *wake)]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _clean_up(self, folder: LogFolder) -> None:
        now = time.monotonic()
        if self._cleaned_at and now - self._cleaned_at < HOUSEKEEPING_S:
            return
        self._cleaned_at = now
        gone = await asyncio.to_thread(
            folder.clean_up,
            today=datetime.now(UTC).date(),
            keep_days=self._settings.keep_days,
            keep_bytes=int(self._settings.keep_mb * 1e6),
        )
        if gone:
            size = sum(file.size_bytes for file in gone)
            logger.bind(files=len(gone), bytes=size, oldest=gone[0].path.name).info("old log files removed")

    def _well(self) -> None:
        if self.health.state == "failing":
            logger.info("log sink is well again")
        self._told_fault_at = 0.0
        self.health = msgspec.structs.replace(self.health, state="ok", reason="")

    def _unwell(self, why: str) -> None:
        now = time.monotonic()
        if why != self.health.reason or now - self._told_fault_at >= TELL_AGAIN_S:
            self._told_fault_at = now
            logger.bind(reason=why).error("log sink fails; records wait in the stream")
        self.health = msgspec.structs.replace(self.health, state="failing", reason=why)

    def _tell_unreadable(self) -> None:
        now = time.monotonic()
        new = self.health.unreadable - self._told_unreadable
        if new and (not self._told_unreadable_at or now - self._told_unreadable_at >= TELL_AGAIN_S):
            self._told_unreadable, self._told_unreadable_at = self.health.unreadable, now
            logger.bind(new=new, in_all=self.health.unreadable).warning("unreadable log records kept as they came")

    async def _reconnected(self) -> None:
        self._renew.set()
        if self._puller is not None:
            self._puller.interrupt("reconnected")

    async def _wake_to_stop(self) -> None:
        await self._stopping.wait()
        if self._puller is not None:
            self._puller.interrupt("stopping")
