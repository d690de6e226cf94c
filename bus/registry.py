"""The label registry as its readers see it: the entries that workers keep in the KV bucket.

A worker's key lives for three heartbeats (`bus.registration`). Watchers see a put, a delete, or the expiry of a key.
After a reconnect the watch is made again, since the old one resumes only many seconds later; a worker whose key is
missing then is gone.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

import msgspec
from loguru import logger
from nats.js.kv import KeyValue

from bus.codec import decode_entry
from bus.connection import RETURN_S, Bus
from bus.errors import LabelbusError, MalformedError, NotFoundError, UnavailableError
from bus.log_throttle import ThrottledLogger
from bus.messages import WorkerEntry
from bus.nats_errors import NATS_ERRORS, translated
from bus.owned import end
from bus.streams import ensure_bucket

RETRY_S: Final = 0.5


async def read_entries(bus: Bus) -> list[WorkerEntry]:
    """Return the entries of all workers, by worker id; values that are no entries are left out.

    Raises `UnavailableError` if the registry cannot be read, or has never been written.
    """
    entries: list[WorkerEntry] = []
    try:
        with translated("the label registry cannot be read"):
            kv = await bus.js.key_value(bus.subjects.bucket)
            watcher = await kv.watch(bus.subjects.worker_keys, ignore_deletes=True)
            try:
                async for update in watcher:
                    if update is None:
                        break
                    with suppress(MalformedError):
                        entries.append(decode_entry(update.value or b""))
            finally:
                await _stop(watcher)
    except NotFoundError as exc:
        raise UnavailableError(
            f"there is no bucket {bus.subjects.bucket} on this NATS: no labelbus has run there yet"
        ) from exc
    return sorted(entries, key=lambda entry: entry.worker_id)


class _Known(msgspec.Struct):
    """The last entry of a worker: its process, the number of the write, and whether it is ignored from then on."""

    epoch_ms: int
    write: int | None
    disowned: bool = False


class RegistryWatch:
    """A watch on the registry that reports workers as they come, change and go. Run `run()` as an owned task.

    `on_entry` gets each entry, `on_gone` the id of each worker that left. `on_reach(False)` says that the registry
    cannot be read; the workers known by then are not reported gone.
    Keys also expire while NATS is away or silent, and after its return the expiry may arrive before what workers wrote
    meanwhile: a worker whose key is missing is therefore reported only if the key is still missing after `RETURN_S`.
    No task waits for that: a worker with outstanding assignments is probed.
    The order of writes is the bucket's, whatever the workers' clocks say: an entry with a lower `epoch_ms` than the
    one before it is from a new process whose clock was set back. The old process is reported gone first; otherwise
    whatever the new one says would be taken for outdated.
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
        """Tell whether the whole registry has been read for the first time."""
        return self._synced.is_set()

    def disown(self, worker_id: str) -> None:
        """Ignore what the worker has written up to now, since it is known to be gone; what it writes later counts.

        Its key may stay for ever if it was written without a TTL, and each new watch begins with all keys.
        """
        if worker_id in self._known:
            self._known[worker_id].disowned = True

    async def synced(self) -> None:
        """Return once the whole registry has been read for the first time."""
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
                except LabelbusError as exc:
                    if in_reach:
                        logger.bind(reason=str(exc)).warning("registry out of reach; trying again")
                    in_reach = False
                    self._on_reach(False)
                    await self._wait_for_renewal(RETRY_S)
        finally:
            if self._patience is not None:
                self._patience.cancel()
            self._log.flush()

    async def _until_renewed(self, reading: Coroutine[Any, Any, None]) -> None:
        """Read until there is a reason to begin again; do not wait for a request that was lost with the server."""
        tasks = asyncio.create_task(reading), asyncio.create_task(self._renew.wait())
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if tasks[0] in done:
                tasks[0].result()
        finally:
            await end(*tasks)

    async def _read(self) -> None:
        with translated("the label registry cannot be watched"):
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
        """Take the workers for gone if they stay without a key, unless NATS was away or silent."""
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
    with suppress(*NATS_ERRORS):  # the connection went first
        await watcher.stop()  # type: ignore[no-untyped-call]
