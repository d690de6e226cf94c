"""Reports of a worker's state: on `lb.state.<id>`, in its registry entry, and in each of its results."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Final

import msgspec
from loguru import logger

from bus.codec import encode_state
from bus.connection import Bus
from bus.errors import LabelbusError
from bus.messages import HeldLabel, WorkerEntry, WorkerState
from worker.admission import Admission
from worker.cache import LabelCache, State

STATE_INTERVAL_S: Final = 0.05
"""At most 20 states a second a worker."""

IDLE_INTERVAL_S: Final = 0.005
"""Least time between states when a slot becomes free: at once, unless tasks are so short that results tell it."""


class WorkerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Properties of a worker that do not change while it runs."""

    worker_id: str
    runtime: str
    kind: str
    task_types: tuple[str, ...]
    pass_types: tuple[str, ...]
    pass_tasks: int
    version: str


class StateReporter:
    """Numbers the worker's states and publishes them, often enough and not too often.

    `run()` is to be run as an owned task; call `changed()` whenever the admission or the labels have changed.
    """

    def __init__(self, bus: Bus, facts: WorkerFacts, admission: Admission, cache: LabelCache) -> None:
        self._bus = bus
        self._facts = facts
        self._admission = admission
        self._cache = cache
        self._epoch_ms = time.time_ns() // 1_000_000
        self._clock_offset_s = time.time() - time.monotonic()
        self._revision = 0
        self._published_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._due = asyncio.Event()

    def state(self) -> WorkerState:
        """Return the worker's state as of now."""
        ready, loading = self._cache.listing()
        admission = self._admission
        return WorkerState(
            worker_id=self._facts.worker_id,
            epoch_ms=self._epoch_ms,
            revision=self._revision,
            labels=ready,
            loading=loading,
            running=admission.taken,
            slots=admission.slots,
            window=admission.window,
            capacity=self._cache.capacity,
            draining=admission.draining,
            pass_tasks=self._facts.pass_tasks,
            passes=admission.places if self._facts.pass_tasks > 1 else 0,
        )

    def entry(self) -> WorkerEntry:
        """Return the worker's registry entry as of now."""
        return WorkerEntry(
            worker_id=self._facts.worker_id,
            state="draining" if self._admission.draining else "ready",
            labels={label: self._held(label) for label in self._cache.labels(State.READY)},
            capacity=self._cache.capacity,
            slots=self._admission.slots,
            window=self._admission.window,
            pass_tasks=self._facts.pass_tasks,
            task_types=self._facts.task_types,
            pass_types=self._facts.pass_types,
            runtime=self._facts.runtime,
            kind=self._facts.kind,
            version=self._facts.version,
            epoch_ms=self._epoch_ms,
            revision=self._revision,
        )

    def changed(self, interval_s: float) -> None:
        """Give the state a new revision, and publish it once `interval_s` has passed since the last one."""
        self._revision += 1
        due = self._published_at + interval_s
        if self._timer is not None and self._timer_due <= due:
            return
        now = time.monotonic()
        if due <= now:
            self._publish_now()
        else:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_due = due  # uvloop's handle of a timer that is due within a millisecond does not tell when
            self._timer = asyncio.get_running_loop().call_later(due - now, self._publish_now)

    async def publish(self) -> None:
        """Publish the state; while NATS is away it is lost, and the next change publishes another one."""
        self._published_at = time.monotonic()
        try:
            await self._bus.publish(self._bus.subjects.state(self._facts.worker_id), encode_state(self.state()))
        except LabelbusError as exc:
            logger.bind(reason=str(exc)).debug("state not published")

    async def run(self) -> None:
        """Publish states as they become due, until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            await self.publish()

    def _publish_now(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due.set()

    def _held(self, label: str) -> HeldLabel:
        held = self._cache.held(label)
        assert held is not None
        since = datetime.fromtimestamp(held.since + self._clock_offset_s, UTC)
        return HeldLabel(load_ms=round(held.load_ms, 1), since=since.isoformat(timespec="seconds"))
