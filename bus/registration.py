"""A worker's own key in the label registry, kept there as long as the worker lives."""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec
from loguru import logger

from bus.codec import encode_entry
from bus.connection import Bus
from bus.errors import LabelbusError, NotFoundError
from bus.messages import WorkerEntry
from bus.nats_errors import translated
from bus.streams import ensure_bucket

TTL_HEARTBEATS: Final = 3
DEFAULT_HEARTBEAT_S: Final = 2.0
RETRY_S: Final = 0.5
WRITE_TIMEOUT_S: Final = 2.0


def ttl_s(heartbeat_s: float) -> int:
    """Return the lifetime of a worker's key in seconds; the server takes whole ones only, and at least one."""
    return max(1, math.ceil(TTL_HEARTBEATS * heartbeat_s))


class Registration:
    """A worker's own key: written on changes and as a heartbeat, deleted at the end.

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
        """Have the entry written soon, since it has changed."""
        self._dirty.set()

    async def registered(self) -> None:
        """Return once the key has been written for the first time."""
        await self._registered.wait()

    async def run(self) -> None:
        """Write the key until cancelled, whatever happens to the server."""
        failures = 0
        while True:
            try:
                await self._write()
            except LabelbusError as exc:
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
        """Delete the key, so that dispatchers know at once; while the server is away, leave it to expire."""
        if not self._bus.connected:
            logger.warning("nats is away, key not deleted; it expires by itself")
            return
        try:
            with translated(f"could not delete the key {self._key}"):
                kv = await self._bus.js.key_value(self._bus.subjects.bucket)
                await kv.delete(self._key)
        except LabelbusError as exc:
            logger.bind(reason=str(exc)).warning("key not deleted; it expires by itself")

    async def _write(self) -> None:
        self._dirty.clear()
        value = encode_entry(msgspec.structs.replace(self._entry(), heartbeat_s=self._heartbeat_s))
        try:
            await self._store(value)
        except NotFoundError:
            await ensure_bucket(self._bus)
            await self._store(value)

    async def _store(self, value: bytes) -> None:
        subject = self._bus.subjects.kv(self._key)
        await self._bus.store(subject, value, timeout_s=WRITE_TIMEOUT_S, ttl_s=ttl_s(self._heartbeat_s))

    async def _rewrite(self) -> None:
        self.changed()
