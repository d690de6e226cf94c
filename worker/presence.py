"""What others see of a worker: its registry entry, its state on `lb.state.<id>`, and its place in the queue group."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

import nats.errors
from loguru import logger
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from bus.codec import encode_state
from bus.connection import Bus
from bus.errors import reason
from bus.messages import HeldLabel, WorkerEntry, WorkerState
from bus.subjects import WORKER_GROUP
from worker.cache import LabelCache, State

STATE_INTERVAL_S: Final = 0.05
"""At most 20 states a second a worker."""

IDLE_INTERVAL_S: Final = 0.005
"""But at once when a place becomes free, unless tasks are so short that results tell it anyway."""

LEAVE_AFTER_S: Final = 0.002
"""A worker that is full for less than this stays in the queue group; what comes meanwhile is taken ahead or BUSY."""


class Presence:
    """Keeps the worker's state, counts its revisions, and tells it to those who want to know.

    `occupied` is the number of tasks taken and not yet answered.
    """

    def __init__(
        self,
        bus: Bus,
        worker_id: str,
        cache: LabelCache,
        *,
        slots: int,
        window: int,
        runtime: str,
        task_types: tuple[str, ...],
        version: str,
        on_task: Callable[[Msg], Awaitable[None]],
        on_labels_changed: Callable[[], None],
    ) -> None:
        self._bus = bus
        self._worker_id = worker_id
        self._cache = cache
        self._slots = slots
        self._window = window
        self._runtime = runtime
        self._task_types = task_types
        self._version = version
        self._on_task = on_task
        self._on_labels_changed = on_labels_changed
        self._epoch_ms = time.time_ns() // 1_000_000
        self._clock_offset_s = time.time() - time.monotonic()
        self._revision = 0
        self._group: Subscription | None = None
        self._told_at = 0.0
        self._leave: asyncio.TimerHandle | None = None
        self._tell: asyncio.TimerHandle | None = None
        self._tell_at = 0.0
        self._wanted = asyncio.Event()
        self._state_due = False
        self.occupied = 0
        self.draining = False

    @property
    def full(self) -> bool:
        """True while every slot is taken."""
        return self.occupied >= self._slots

    def state(self) -> WorkerState:
        """The worker as it is now."""
        ready, on_their_way = self._cache.listing()
        return WorkerState(
            worker_id=self._worker_id,
            epoch_ms=self._epoch_ms,
            revision=self._revision,
            labels=ready,
            loading=on_their_way,
            running=self.occupied,
            slots=self._slots,
            window=self._window,
            capacity=self._cache.capacity,
            draining=self.draining,
        )

    def entry(self) -> WorkerEntry:
        """The worker as the registry keeps it."""
        return WorkerEntry(
            worker_id=self._worker_id,
            state="draining" if self.draining else "ready",
            labels={label: self._held(label) for label in self._cache.labels(State.READY)},
            capacity=self._cache.capacity,
            slots=self._slots,
            window=self._window,
            task_types=self._task_types,
            runtime=self._runtime,
            version=self._version,
            epoch_ms=self._epoch_ms,
            revision=self._revision,
        )

    def took(self) -> None:
        """One more task."""
        self.occupied += 1
        self._revision += 1
        if self.full:
            self._soon_leave()
        self._tell_soon(STATE_INTERVAL_S)

    def answered(self) -> None:
        """One task less."""
        was_full = self.full
        self.occupied -= 1
        self._revision += 1
        if was_full and not self.full:
            if self._leave is not None:
                self._leave.cancel()
                self._leave = None
            self._wanted.set()
        # With a window the slots may still be spoken for, and yet another task be welcome.
        self._tell_soon(IDLE_INTERVAL_S if was_full else STATE_INTERVAL_S)

    def labels_changed(self) -> None:
        """A label came, went, or is being loaded."""
        self._revision += 1
        self._on_labels_changed()
        self._tell_soon(IDLE_INTERVAL_S)

    async def drain(self) -> None:
        """No more tasks from now on: out of the queue group when this returns, and the state told."""
        self.draining = True
        self.labels_changed()
        group, self._group = self._group, None
        if group is not None:
            await self._bus.leave(group)
        try:
            await self._publish()
        except nats.errors.Error as exc:
            logger.bind(reason=reason(exc)).debug("state not published")

    async def run(self) -> None:
        """Join and leave the queue group, and publish the state, until cancelled."""
        self._wanted.set()
        async with asyncio.TaskGroup() as leaving:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                try:
                    await self._keep_group(leaving)
                    if self._state_due:
                        self._state_due = False
                        await self._publish()
                except nats.errors.Error as exc:  # away: the state is told again when something changes
                    logger.bind(reason=reason(exc)).debug("state not published")

    async def _keep_group(self, leaving: asyncio.TaskGroup) -> None:
        member = not self.full and not self.draining
        if member and self._group is None:
            self._group = await self._bus.nc.subscribe(
                self._bus.subjects.task_any, queue=WORKER_GROUP, cb=self._on_task
            )
            if self.full or self.draining:  # since it was asked for
                self._wanted.set()
        elif not member and self._group is not None:
            group, self._group = self._group, None
            leaving.create_task(self._bus.leave(group))

    async def _publish(self) -> None:
        self._told_at = time.monotonic()
        await self._bus.nc.publish(self._bus.subjects.state(self._worker_id), encode_state(self.state()))

    def _soon_leave(self) -> None:
        if self._leave is None and self._group is not None:
            self._leave = asyncio.get_running_loop().call_later(LEAVE_AFTER_S, self._leave_now)

    def _leave_now(self) -> None:
        self._leave = None
        self._wanted.set()

    def _tell_soon(self, interval_s: float) -> None:
        """Publish when `interval_s` has passed since the last time: at once, if it has."""
        due = self._told_at + interval_s
        if self._tell is not None and self._tell_at <= due:
            return
        now = time.monotonic()
        if due <= now:
            self._tell_now()
        else:
            if self._tell is not None:
                self._tell.cancel()
            self._tell_at = due  # uvloop's handle of a timer that is due within a millisecond does not tell when
            self._tell = asyncio.get_running_loop().call_later(due - now, self._tell_now)

    def _tell_now(self) -> None:
        if self._tell is not None:
            self._tell.cancel()
            self._tell = None
        self._state_due = True
        self._wanted.set()

    def _held(self, label: str) -> HeldLabel:
        held = self._cache.held(label)
        assert held is not None
        since = datetime.fromtimestamp(held.since + self._clock_offset_s, UTC)
        return HeldLabel(load_ms=round(held.load_ms, 1), since=since.isoformat(timespec="seconds"))
