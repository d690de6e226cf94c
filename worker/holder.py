"""Labels as tasks use them: `with await holder.acquire(label)` has it loaded, once, whoever else asks for it."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Final, Self

import msgspec
from loguru import logger

from bus.errors import LabelbusError, LoadError, RuntimeUnavailableError, UnknownModelError, reason
from worker.cache import Full, Hit, Join, LabelCache, Load
from worker.runtimes.protocol import Runtime

BACKOFF_FIRST_S: Final = 1.0
BACKOFF_MOST_S: Final = 60.0


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """A label in use until the end of a `with` block, and how the task came by it; times are milliseconds.

    Without a `hit` it was loaded for this task, or `joined`: its load was under way for another one.
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


class Backoff(msgspec.Struct, frozen=True):
    """A label whose load failed `failures` times in a row: not tried again before `until` (monotonic seconds)."""

    failures: int
    until: float
    error: LoadError


class LabelHolder:
    """Loads labels into the runtime as tasks need them, and gives others up for them.

    A load is an owned task of its own: that who asked for it goes away does not disturb those who joined.
    `on_load` is called with a label about to be loaded, `on_change` after each change of what is held.
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
        self._backoff: dict[str, Backoff] = {}
        self._changed = asyncio.Event()

    def close(self) -> None:
        """Give up the loads under way: who waits for them gets a `RuntimeUnavailableError`."""
        for load in self._loading:
            load.cancel()

    def lost(self, labels: frozenset[str]) -> None:
        """The runtime does not hold these any more."""
        gone = [label for label in labels if self.cache.forget(label)]
        if gone:
            logger.bind(labels=gone).warning("labels lost by the runtime")
            self._rouse()
            self._on_change()

    def refresh(self, label: str) -> None:
        """The label's files have changed: the next task loads it anew, and a failed load may be tried again at once."""
        self._backoff.pop(label, None)
        if self.cache.expire(label):
            self._tasks.create_task(self._drop(label), name=f"drop {label}")

    async def acquire(self, label: str, *, evict_hint: str = "") -> Use:
        """The label, loaded, and safe from eviction until it is released.

        Raises what the load raised: `UnknownModelError`, `LoadError`, `RuntimeUnavailableError`. A label whose load
        failed is not tried again for a while that doubles from one second to a minute.
        """
        while True:
            now = time.monotonic()
            self._refuse_if_backing_off(now, label)
            match self.cache.acquire(now, label, evict_hint=evict_hint):
                case Hit(lease):
                    return Use(release=partial(self._release, label, lease), hit=True)
                case Join(lease):
                    await self._loaded(label, lease)
                    return self._loaded_use(label, lease, now, joined=True)
                case Load(evict, lease):
                    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._loads[label] = done
                    load = self._tasks.create_task(self._load(label, evict, done), name=f"load {label}")
                    self._loading.add(load)
                    load.add_done_callback(self._loading.discard)
                    self._on_change()
                    await self._loaded(label, lease)
                    return self._loaded_use(label, lease, now, evicted=evict or "")
                case Full():
                    self._changed.clear()
                    await self._changed.wait()

    def _loaded_use(self, label: str, lease: int, began: float, *, evicted: str = "", joined: bool = False) -> Use:
        return Use(
            release=partial(self._release, label, lease),
            hit=False,
            joined=joined,
            load_ms=_since_ms(began),
            evicted=evicted,
        )

    async def _loaded(self, label: str, lease: int) -> None:
        """Wait for the load under way. Its failure is everybody's; a cancelled waiter gives up its use."""
        load = self._loads[label]
        try:
            await asyncio.shield(load)
        except asyncio.CancelledError:
            load.add_done_callback(lambda done: None if done.exception() else self._release(label, lease))
            raise

    async def _load(self, label: str, evict: str | None, done: asyncio.Future[None]) -> None:
        """Make room, load, and tell who waits; a failed load is those tasks' affair, and raises nothing here."""
        giving_up = evict
        try:
            await self._runtime.check(label)  # before anything is given up for it
            if evict is not None:
                giving_up = None
                await self._unload(evict)
                self.cache.unloaded(evict, label)
                self._on_change()
            began = time.monotonic()
            self._on_load(label)
            await self._runtime.load(label)
            load_ms = _since_ms(began)
        except asyncio.CancelledError:
            self._keep(giving_up)
            self._fail(label, done, RuntimeUnavailableError(f"the worker had to stop while it loaded {label}"))
            raise
        except Exception as exc:  # noqa: BLE001  # whatever it is must reach those who wait
            self._keep(giving_up)
            self._fail(label, done, self._failed(label, exc))
        else:
            self._backoff.pop(label, None)
            self.cache.loaded(time.monotonic(), label, load_ms)
            logger.bind(label=label, load_ms=round(load_ms, 1), evicted=evict or "").info("label taken up")
            del self._loads[label]
            done.set_result(None)
        self._rouse()
        self._on_change()

    def _fail(self, label: str, done: asyncio.Future[None], error: LabelbusError) -> None:
        self.cache.load_failed(label)
        del self._loads[label]
        done.set_exception(error)
        done.exception()  # seen, also when everybody who waited has gone

    def _keep(self, label: str | None) -> None:
        if label is not None and self.cache.kept(label):
            self._tasks.create_task(self._drop(label), name=f"drop {label}")

    async def _drop(self, label: str) -> None:
        """Unload a label whose files have changed."""
        await self._unload(label)
        self.cache.dropped(label)
        self._rouse()
        self._on_change()

    async def _unload(self, label: str) -> None:
        try:
            await self._runtime.unload(label)
        except Exception as exc:  # noqa: BLE001  # the runtime is away; its room must not be lost for good with it
            logger.bind(label=label, reason=reason(exc)).warning("unload failed")
        else:
            logger.bind(label=label).info("label given up")

    def _failed(self, label: str, exc: Exception) -> LabelbusError:
        if isinstance(exc, UnknownModelError | RuntimeUnavailableError):
            logger.bind(label=label, reason=reason(exc)).warning("load failed")
            return exc
        if not isinstance(exc, LoadError):
            logger.bind(label=label).opt(exception=exc).error("load failed unexpectedly")
            exc = LoadError(f"loading {label} failed: {reason(exc)}")
        failures = self._backoff[label].failures + 1 if label in self._backoff else 1
        wait_s = min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2 ** (failures - 1))
        self._backoff[label] = Backoff(failures, time.monotonic() + wait_s, exc)
        logger.bind(label=label, failures=failures, next_try_s=wait_s, reason=reason(exc)).error("load failed")
        return exc

    def _refuse_if_backing_off(self, now: float, label: str) -> None:
        backoff = self._backoff.get(label)
        if backoff is not None and now < backoff.until:
            raise LoadError(f"{backoff.error} (tried {backoff.failures} times; next in {backoff.until - now:.0f} s)")

    def _release(self, label: str, lease: int) -> None:
        """One user less."""
        if self.cache.release(label, lease):
            self._tasks.create_task(self._drop(label), name=f"drop {label}")
        self._rouse()

    def _rouse(self) -> None:
        self._changed.set()


def _since_ms(start: float) -> float:
    return (time.monotonic() - start) * 1000
