"""Labels as tasks use them: `with await holder.acquire(label)` has the label loaded, once for all who ask for it."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, Self

import msgspec
from loguru import logger

from bus.errors import LabelbusError, LoadError, RuntimeUnavailableError, UnknownModelError, reason
from worker.cache import Acquired, Full, Hit, Join, LabelCache, Load, State
from worker.load_failures import LoadFailures
from worker.runtimes.protocol import Runtime

ROOM_PATIENCE_S: Final = 1.0
"""A task that waits for room for so long has a label closed to other tasks, so that its users come to an end."""


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """A label in use until the end of a `with` block; `load_ms` is the time that the task waited for its load.

    Without `hit` the label was loaded for this task, or `joined`: its load was under way for another task.
    """

    release: Callable[[], None]
    hit: bool
    joined: bool = False
    load_ms: float = 0.0
    evicted: str = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class LabelHolder:
    """Loads labels into the runtime as tasks need them, and evicts others for them.

    A load is an asyncio task of its own: the task that asked for it may be cancelled without disturbing those that
    joined. `on_load` is called with a label about to be loaded, `on_change` after each change of the labels.
    """

    def __init__(
        self,
        cache: LabelCache,
        runtime: Runtime,
        tasks: asyncio.TaskGroup,
        *,
        on_load: Callable[[str], None],
        on_change: Callable[[], None],
    ) -> None:
        self.cache: Final = cache
        self._runtime = runtime
        self._tasks = tasks
        self._on_load = on_load
        self._on_change = on_change
        self._loads: dict[str, asyncio.Future[None]] = {}
        self._loading: set[asyncio.Task[None]] = set()
        self._failures = LoadFailures()
        self._changed = asyncio.Event()

    def close(self) -> None:
        """Cancel the loads under way; tasks that wait for them get a `RuntimeUnavailableError`."""
        for load in self._loading:
            load.cancel()

    def lost(self, labels: frozenset[str]) -> None:
        """Take note that the runtime does not hold these labels any more."""
        lost = [label for label in self.cache.labels(State.READY) if label in labels]
        for label in lost:
            self.cache.forget(label)
        if lost:
            logger.bind(labels=lost).warning("labels lost by the runtime")
            self._changed.set()
            self._on_change()

    def refresh(self, label: str) -> None:
        """Take note that the label's files have changed: the next task loads it again, even if its load failed."""
        self._failures.forget(label)
        self.cache.expire(label)
        self._drop_expired()

    def hit(self, label: str) -> Use | None:
        """Return a use of the label if it is loaded; None if it is to be acquired."""
        hit = self.cache.hit(time.monotonic(), label)
        return None if hit is None else Use(release=partial(self._release, label, hit.lease), hit=True)

    async def acquire(self, label: str, *, evict_hint: str = "") -> Use:
        """Return a use of the label, which is loaded by then and not evicted before the use is released.

        Raises the error of the load: `UnknownModelError`, `LoadError`, `RuntimeUnavailableError`. A label whose load
        failed is not tried again for a while that doubles from one second to a minute.
        """
        acquired = self._try(label, evict_hint)
        if isinstance(acquired, Full):
            acquired = await self._wait_for_room(label, evict_hint)
        began = time.monotonic()
        release = partial(self._release, label, acquired.lease)
        match acquired:
            case Hit():
                return Use(release=release, hit=True)
            case Join(lease):
                await self._loaded(label, lease)
                return Use(release=release, hit=False, joined=True, load_ms=_since_ms(began))
            case Load(evict, lease):
                self._begin_load(label, evict)
                await self._loaded(label, lease)
                return Use(release=release, hit=False, load_ms=_since_ms(began), evicted=evict or "")

    def _try(self, label: str, evict_hint: str) -> Acquired:
        now = time.monotonic()
        self._failures.check(now, label)
        return self.cache.acquire(now, label, evict_hint=evict_hint)

    async def _wait_for_room(self, label: str, evict_hint: str) -> Hit | Join | Load:
        """Acquire the label when there is room.

        Labels that are always in use would leave none: after `ROOM_PATIENCE_S` one of them is closed to new users.
        """
        patience = time.monotonic() + ROOM_PATIENCE_S
        closed = ""
        try:
            while isinstance(acquired := self._try(label, evict_hint), Full):
                left_s = patience - time.monotonic()
                if left_s <= 0 and not closed and self.cache.held(label) is None:
                    closed = self.cache.close(time.monotonic(), hint=evict_hint)
                self._changed.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(left_s if left_s > 0 else None):
                        await self._changed.wait()
            return acquired
        finally:
            if closed:
                self.cache.reopen(closed)
                self._changed.set()

    def _begin_load(self, label: str, evict: str | None) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loads[label] = done
        load = self._tasks.create_task(self._load(label, evict, done), name=f"load {label}")
        self._loading.add(load)
        load.add_done_callback(self._loading.discard)
        self._on_change()

    async def _loaded(self, label: str, lease: int) -> None:
        """Wait for the load under way, and raise its error; a waiter that is cancelled releases its use."""
        load = self._loads[label]
        try:
            await asyncio.shield(load)
        except asyncio.CancelledError:
            load.add_done_callback(lambda done: None if done.exception() else self._release(label, lease))
            raise

    async def _load(self, label: str, evict: str | None, done: asyncio.Future[None]) -> None:
        """Make room and load, with the outcome in `done`: a failed load is an error of the tasks that wait for it."""
        evicting = evict
        try:
            await self._runtime.check(label)  # before anything is evicted for it
            if evict is not None:
                evicting = None
                await self._unload(evict)
                self.cache.unloaded(evict, label)
                self._on_change()
            began = time.monotonic()
            self._on_load(label)
            await self._runtime.load(label)
            load_ms = _since_ms(began)
        except asyncio.CancelledError:
            self._keep(evicting)
            self._fail(label, done, RuntimeUnavailableError(f"the worker had to stop while it loaded {label}"))
            raise
        except Exception as exc:  # noqa: BLE001  # any error must reach the tasks that wait
            self._keep(evicting)
            self._fail(label, done, self._failed(label, exc))
        else:
            self._failures.forget(label)
            self.cache.loaded(time.monotonic(), label, load_ms)
            logger.bind(label=label, load_ms=round(load_ms, 1), evicted=evict or "").info("label loaded")
            del self._loads[label]
            done.set_result(None)
        finally:
            self._changed.set()
            self._on_change()

    def _fail(self, label: str, done: asyncio.Future[None], error: LabelbusError) -> None:
        self.cache.load_failed(label)
        del self._loads[label]
        done.set_exception(error)
        done.exception()  # retrieved here, since every waiter may have gone

    def _keep(self, label: str | None) -> None:
        if label is not None:
            self.cache.kept(label)
            self._drop_expired()

    def _drop_expired(self) -> None:
        for label in self.cache.drop_expired():
            self._tasks.create_task(self._drop(label), name=f"drop {label}")

    async def _drop(self, label: str) -> None:
        """Unload a label whose files have changed."""
        await self._unload(label)
        self.cache.dropped(label)
        self._changed.set()
        self._on_change()

    async def _unload(self, label: str) -> None:
        try:
            await self._runtime.unload(label)
        except Exception as exc:  # noqa: BLE001  # the runtime is away; the label's room must not stay occupied
            logger.bind(label=label, reason=reason(exc)).warning("unload failed")
        else:
            logger.bind(label=label).info("label unloaded")

    def _failed(self, label: str, exc: Exception) -> LabelbusError:
        if isinstance(exc, UnknownModelError | RuntimeUnavailableError):
            logger.bind(label=label, reason=reason(exc)).warning("load failed")
            return exc
        if not isinstance(exc, LoadError):
            logger.bind(label=label).opt(exception=exc).error("load failed unexpectedly")
            exc = LoadError(f"loading {label} failed: {reason(exc)}")
        next_try_s = self._failures.add(time.monotonic(), label, exc)
        failures = self._failures.times(label)
        logger.bind(label=label, failures=failures, next_try_s=next_try_s, reason=reason(exc)).error("load failed")
        return exc

    def _release(self, label: str, lease: int) -> None:
        self.cache.release(label, lease)
        if self.cache.expired:
            self._drop_expired()
        self._changed.set()


def _since_ms(start: float) -> float:
    return (time.monotonic() - start) * 1000
