"""The log sink: from the stream to the files, each record once.

    pull a portion → write it (`logsink.files`) → fsync → acknowledge

Nothing is acknowledged before it is on disk. Each session with the server begins with a consumer of its own, made
again behind what is known to be written, so that messages come strictly in the order of the stream, whatever was in
flight when the last session ended; what was written but not acknowledged then is skipped by its number. While the disk
refuses, the current portion is tried again and again, and the rest waits in the stream.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal, TypeVar

import msgspec
from loguru import logger

from bus.backoff import Backoff
from bus.connection import Bus
from bus.errors import ConflictError, LabelbusError, UnavailableError
from logsink.consumer import Resumed, renew_consumer
from logsink.files import LogFolder, open_folder
from logsink.layout import source_of_subject
from logsink.lines import to_lines
from logsink.position import Position
from logsink.pull import Pulled, Puller
from logsink.settings import LogsinkSettings
from logsink.writer import Entry, Tally

RETRY: Final = Backoff(0.5, 10.0)
LOCK_RETRY_S: Final = 0.5
TELL_CANCEL_AGAIN_S: Final = 60.0
"""A lasting fault is logged once a minute, since each such line is one more record for the sink."""

LOCK_PATIENCE_S: Final = 15.0
"""Time to wait for a sink that is being replaced to release the folder."""

HOUSEKEEPING_S: Final = 300.0

T = TypeVar("T")


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The health of the sink. While `failing`, records wait in the stream for the `reason` given; none is lost."""

    state: Literal["starting", "ok", "failing"] = "starting"
    reason: str = ""


class LogSink:
    """The writing of the log stream to files until `stopping` is set; `ready` is set once it has begun. Run it once."""

    def __init__(self, bus: Bus, settings: LogsinkSettings, stopping: asyncio.Event, ready: asyncio.Event) -> None:
        self._bus = bus
        self._settings = settings
        self._stopping = stopping
        self._ready = ready
        self._folder: LogFolder | None = None
        self._puller: Puller | None = None
        self._renew = asyncio.Event()
        self._told_fault_at = 0.0
        self._told_unreadable_at = 0.0
        self._told_unreadable = 0
        self._cleaned_at = 0.0
        self.health = Health()
        self.tally = Tally()
        bus.on_reconnect(self._reconnected)

    async def run(self) -> None:
        """Run session after session; `ConflictError` if another sink keeps the folder."""
        wake = asyncio.create_task(self._wake_to_stop())
        try:
            while not self._stopping.is_set():
                await self._persist(self._session, self._renew)
        finally:
            wake.cancel()
            if self._folder is not None:
                self._folder.close()
            tally = self.tally
            logger.bind(records=tally.records, unreadable=tally.unreadable, again=tally.again).info("log sink ends")

    async def _session(self) -> None:
        self._renew.clear()
        try:
            folder = self._folder = self._folder or await self._open_folder()
            self.tally = folder.tally
            resumed = await self._unless_renewed(renew_consumer(self._bus, self._settings, folder))
            if resumed is not None:
                await self._read(folder, resumed)
        except (ConflictError, UnavailableError):
            raise
        except LabelbusError as exc:  # the stream was deleted meanwhile, say
            raise UnavailableError(str(exc)) from exc

    async def _unless_renewed(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Return the result of the work; None if it was cancelled, to stop or because the server was lost."""
        task = asyncio.create_task(work)
        signals = [asyncio.create_task(event.wait()) for event in (self._stopping, self._renew)]
        try:
            await asyncio.wait((task, *signals), return_when=asyncio.FIRST_COMPLETED)
            return await task if task.done() else None
        finally:
            for one in (task, *signals):
                one.cancel()
            await asyncio.gather(task, *signals, return_exceptions=True)

    async def _open_folder(self) -> LogFolder:
        deadline = time.monotonic() + LOCK_PATIENCE_S
        limit = int(self._settings.rotate_mb * 1e6)
        while True:
            try:
                return await asyncio.to_thread(open_folder, self._settings.log_folder, limit_bytes=limit)
            except ConflictError:
                if time.monotonic() > deadline or self._stopping.is_set():
                    raise
                await self._pause(LOCK_RETRY_S)

    async def _read(self, folder: LogFolder, resumed: Resumed) -> None:
        waiting = resumed.waiting
        logger.bind(waiting=waiting, folder=str(self._settings.log_folder)).info("log sink reads the stream")
        caught_up = waiting < self._settings.batch_messages
        puller = self._puller = Puller(
            self._bus, self._settings.log_consumer, batch_messages=self._settings.batch_messages
        )
        self._well()
        await puller.start()
        self._ready.set()
        try:
            while not self._stopping.is_set() and not self._renew.is_set():
                await self._clean_up(folder)
                pulled = await puller.take(linger_s=self._settings.linger_ms / 1000)
                if not pulled:
                    continue
                entries = [self._entry(resumed.position, one) for one in pulled]
                if not await self._persist(partial(self._write, folder, entries)):
                    return
                for one in pulled:
                    await self._bus.acknowledge(one.message)
                waiting -= len(pulled)
                if not caught_up and waiting <= 0:
                    caught_up = True
                    logger.bind(records=self.tally.records).info("log sink has caught up")
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
        lines = to_lines(pulled.message.data, subject=subject, source=source, seq=seq, stored_at=pulled.stored_at)
        return Entry(source=source, seq=seq, day=pulled.stored_at.date(), lines=lines)

    async def _write(self, folder: LogFolder, entries: list[Entry]) -> None:
        await asyncio.to_thread(folder.write, entries)
        self._well()
        self._tell_unreadable()

    async def _persist(self, attempt: Callable[[], Awaitable[None]], *wake: asyncio.Event) -> bool:
        """Repeat the attempt until it succeeds, after growing pauses that `wake` ends; return False if told to stop."""
        attempts = 0
        while True:
            try:
                await attempt()
            except UnavailableError as exc:
                attempts = 1 if self.health.state == "ok" else attempts + 1
                self._unwell(str(exc))
            else:
                return True
            await self._pause(RETRY.delay_s(attempts), *wake)
            if self._stopping.is_set():
                return False

    async def _pause(self, seconds: float, *wake: asyncio.Event) -> None:
        """Sleep until the time is over, the sink is told to stop, or one of the events is set."""
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
            logger.info("log sink works again")
        self._told_fault_at = 0.0
        self.health = Health(state="ok")

    def _unwell(self, why: str) -> None:
        now = time.monotonic()
        if why != self.health.reason or now - self._told_fault_at >= TELL_CANCEL_AGAIN_S:
            self._told_fault_at = now
            logger.bind(reason=why).error("log sink fails; records wait in the stream")
        self.health = Health(state="failing", reason=why)

    def _tell_unreadable(self) -> None:
        now = time.monotonic()
        new = self.tally.unreadable - self._told_unreadable
        if new and (not self._told_unreadable_at or now - self._told_unreadable_at >= TELL_CANCEL_AGAIN_S):
            self._told_unreadable, self._told_unreadable_at = self.tally.unreadable, now
            logger.bind(new=new, in_all=self.tally.unreadable).warning("unreadable log records kept as text")

    async def _reconnected(self) -> None:
        self._renew.set()
        if self._puller is not None:
            self._puller.interrupt("reconnected")

    async def _wake_to_stop(self) -> None:
        await self._stopping.wait()
        if self._puller is not None:
            self._puller.interrupt("stopping")
