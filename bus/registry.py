"""The label registry: workers write what they hold into the KV bucket, dispatchers watch it.

A worker's key lives for three heartbeats. Watchers see a put, a delete, or the expiry of a key; after a reconnect
the watch is made anew, since the old one resumes only many seconds later, and who is missing then is gone.
"""

import asyncio
import math
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

import msgspec
import nats.errors
from loguru import logger
from nats.js.errors import Error as JetStreamError
from nats.js.kv import KeyValue

from bus.codec import decode_entry, encode_entry
from bus.connection import RETURN_S, Bus
from bus.errors import LabelbusError, MalformedError, UnavailableError, reason
from bus.log_throttle import ThrottledLogger
from bus.messages import WorkerEntry
from bus.owned import end
from bus.streams import ensure_bucket

TTL_HEARTBEATS: Final = 3
DEFAULT_HEARTBEAT_S: Final = 2.0
RETRY_S: Final = 0.5
PUBLISH_TIMEOUT_S: Final = 2.0


def ttl_s(heartbeat_s: float) -> int:
    """Seconds that a worker's key lives; whole ones, and at least one, since the server knows no other."""
    return max(1, math.ceil(TTL_HEARTBEATS * heartbeat_s))


class Registration:
    """A worker's own key: written when told to and as a heartbeat, deleted at the end.

    Run `run()` as an owned task. `changed()` never waits: changes that come while one is being written are
    written together.
    """

    def __init__(self, bus: Bus, worker_id: str, entry: Callable[[], WorkerEntry], *, heartbeat_s: float) -> None:
        self._bus = bus
        self._key = bus.subjects.worker_key(worker_id)
        self._entry = entry
        self._heartbeat_s = heartbeat_s
        self._dirty = asyncio.Event()
        self._registered = asyncio.Event()
        bus.on_reconnect(self._rewrite)

    def changed(self) -> None:
        """The entry is not what it was: write it soon."""
        self._dirty.set()

    async def registered(self) -> None:
        """Returns once the key has been written for the first time."""
        await self._registered.wait()

    async def run(self) -> None:
        """Write the key until cancelled, whatever happens to the server."""
        failures = 0
        while True:
            try:
                await self._write()
            except UnavailableError as exc:
                failures += 1
                if failures == 1:
                    logger.bind(reason=str(exc)).warning("registry out of reach; trying again")
                await asyncio.sleep(RETRY_S)
                continue
            if failures:
                logger.bind(failures=failures).info("registry in reach again")
                failures = 0
            self._registered.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._heartbeat_s):
                    await self._dirty.wait()

    async def remove(self) -> None:
        """Delete the key, so that dispatchers know at once; a server that is away lets it expire instead."""
        if not self._bus.connected:
            logger.warning("nats is away, key not deleted; it expires by itself")
            return
        try:
            kv = await self._bus.js.key_value(self._bus.subjects.bucket)
            await kv.delete(self._key)
        except (JetStreamError, nats.errors.Error, TimeoutError) as exc:
            logger.bind(reason=reason(exc)).warning("key not deleted; it expires by itself")

    async def _write(self) -> None:
        self._dirty.clear()
        value = encode_entry(msgspec.structs.replace(self._entry(), heartbeat_s=self._heartbeat_s))
        subject = self._bus.subjects.kv(self._key)
        try:
            await self._bus.js.publish(subject, value, timeout=PUBLISH_TIMEOUT_S, msg_ttl=ttl_s(self._heartbeat_s))
        except JetStreamError:  # no such bucket yet, or one made without TTLs
            await ensure_bucket(self._bus)
            await self._publish_again(subject, value)
        except (nats.errors.Error, TimeoutError) as exc:
            raise UnavailableError(f"registry: {reason(exc)}") from exc

    async def _publish_again(self, subject: str, value: bytes) -> None:
        try:
            await self._bus.js.publish(subject, value, timeout=PUBLISH_TIMEOUT_S, msg_ttl=ttl_s(self._heartbeat_s))
        except (JetStreamError, nats.errors.Error, TimeoutError) as exc:
            raise UnavailableError(f"registry: {reason(exc)}") from exc

    async def _rewrite(self) -> None:
        self.changed()


class _Known(msgspec.Struct):
    """The last entry of a worker: its process, the number of the write, and whether it is ignored from then on."""

    epoch_ms: int
    write: int | None
    disowned: bool = False


class RegistryWatch:
    """Calls `on_entry` and `on_gone` as workers come, change and go. Run `run()` as an owned task.

    `on_reach(False)` says that the registry cannot be read; the workers known by then are not reported gone.
    Keys also expire while NATS is away, or silent without a word, and at its return the expiry may come before what
    workers wrote meanwhile: so a worker whose key is missing is gone only if it is not there again after `RETURN_S`.
    That costs nobody an answer: who owes one is probed.
    The order of writes is the bucket's, whatever the workers' clocks say: an entry with a lower `epoch_ms` than the
    one before it is of a new process whose clock was set back. The old one is reported gone first, or everything
    that the new one says would pass for outdated.
    A value that is no entry is counted in `malformed`, logged (at most once a second) and otherwise ignored.
    """

    def __init__(
        self,
        bus: Bus,
        *,
        on_entry: Callable[[WorkerEntry], None],
        on_gone: Callable[[str], None],
        on_reach: Callable[[bool], None],
    ) -> None:
        self._bus = bus
        self._on_entry = on_entry
        self._on_gone = on_gone
        self._on_reach = on_reach
        self._known: dict[str, _Known] = {}
        self._missing: set[str] = set()
        self._patience: asyncio.TimerHandle | None = None
        self._renew = asyncio.Event()
        self._synced = asyncio.Event()
        self.malformed = 0
        self._log = ThrottledLogger()
        bus.on_reconnect(self._reconnected)

    @property
    def is_synced(self) -> bool:
        """True once the whole registry has been read for the first time."""
        return self._synced.is_set()

    def disown(self, worker_id: str) -> None:
        """Ignore what the worker has written up to now, since it is known to be gone; what it writes later counts.

        Its key may stay for ever if it was written without a TTL, and each new watch begins with all keys.
        """
        if worker_id in self._known:
            self._known[worker_id].disowned = True

    async def synced(self) -> None:
        """Returns once the whole registry has been read for the first time."""
        await self._synced.wait()

    async def run(self) -> None:
        """Watch until cancelled, through every loss of the server or the bucket."""
        in_reach = True
        try:
            while True:
                self._renew.clear()
                try:
                    await self._until_renewed(self._read())
                    in_reach = True
                except (UnavailableError, JetStreamError, nats.errors.Error, TimeoutError) as exc:
                    if in_reach:
                        logger.bind(reason=reason(exc)).warning("registry out of reach; trying again")
                    in_reach = False
                    self._on_reach(False)
                    await self._wait_for_renewal(RETRY_S)
        finally:
            if self._patience is not None:
                self._patience.cancel()
            self._log.flush()

    async def _until_renewed(self, reading: Coroutine[Any, Any, None]) -> None:
        """Read until there is a reason to begin anew: a request that was lost with the server is not waited for."""
        tasks = asyncio.create_task(reading), asyncio.create_task(self._renew.wait())
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if tasks[0] in done:
                tasks[0].result()
        finally:
            await end(*tasks)

    async def _read(self) -> None:
        await self._watch(await ensure_bucket(self._bus))

    async def _watch(self, kv: KeyValue) -> None:
        watcher = await kv.watch(self._bus.subjects.worker_keys)
        try:
            seen: set[str] | None = set()
            while True:
                entry = await watcher._updates.get()  # noqa: SLF001  # `updates()` times out instead
                if entry is None:  # the snapshot is whole
                    if seen is not None:
                        self._expired(self._known.keys() - seen)
                        seen = None
                    self._on_reach(True)
                    self._synced.set()
                elif isinstance(entry, KeyValue.Entry):
                    worker_id = self._apply(entry)
                    if seen is not None and worker_id in self._known:
                        seen.add(worker_id)
        finally:
            await _stop(watcher)

    def _apply(self, entry: KeyValue.Entry) -> str:
        try:
            worker_id = self._bus.subjects.worker_of_key(entry.key)
            if entry.operation == "DEL":
                self._forget({worker_id} & self._known.keys())
                return worker_id
            if entry.operation == "PURGE" or not entry.value:
                self._expired({worker_id} & self._known.keys())
                return ""
            worker = decode_entry(entry.value)
            if worker.worker_id != worker_id:
                raise MalformedError(f"the entry at {entry.key} names the worker {worker.worker_id}")
        except LabelbusError as exc:
            self.malformed += 1
            self._log.warning("registry value ignored", key=entry.key, reason=str(exc), malformed=self.malformed)
            return ""
        known = self._known.get(worker_id)
        if known is not None:
            if known.disowned and entry.revision == known.write:
                return worker_id
            if worker.epoch_ms < known.epoch_ms:
                self._on_gone(worker_id)
        self._known[worker_id] = _Known(worker.epoch_ms, entry.revision)
        self._missing.discard(worker_id)
        self._on_entry(worker)
        return worker_id

    def _expired(self, worker_ids: set[str]) -> None:
        """Their keys are not there any more: they are gone, unless it is NATS that was away or silent."""
        if worker_ids:
            self._missing |= worker_ids
            self._look_later()

    def _look_later(self) -> None:
        if self._patience is None:
            self._patience = asyncio.get_running_loop().call_later(RETURN_S, self._look)

    def _look(self) -> None:
        self._patience = None
        if self._bus.unsettled:
            self._look_later()
        else:
            self._forget(self._missing & self._known.keys())

    def _forget(self, worker_ids: set[str]) -> None:
        for worker_id in worker_ids:
            known = self._known.pop(worker_id)
            self._missing.discard(worker_id)
            if not known.disowned:
                self._on_gone(worker_id)

    async def _reconnected(self) -> None:
        self._renew.set()

    async def _wait_for_renewal(self, timeout_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._renew.wait()


async def _stop(watcher: KeyValue.KeyWatcher) -> None:
    with suppress(nats.errors.Error, JetStreamError):  # the connection went first
        await watcher.stop()  # type: ignore[no-untyped-call]
