"""Pings to workers, and what their answers or their silence mean: the I/O of liveness."""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Final

from loguru import logger

from bus.connection import Bus
from bus.errors import LabelbusError, reason
from bus.names import ANY_WORKER
from dispatcher.liveness.heartbeats import CHECK_INTERVAL_S, Heartbeats
from dispatcher.liveness.outstanding import (
    INTERVAL_S,
    AssignmentLost,
    OutstandingAssignments,
    Ping,
    WorkerHangs,
)
from dispatcher.reply_subjects import ReplySubjects

ECHO_S: Final = 3 * INTERVAL_S
"""Time within which NATS returns what a client sends itself. If not, NATS is silent, and no worker's silence counts."""


class Prober:
    """Pings workers that have outstanding assignments or an overdue heartbeat. Run `run()` as an owned task.

    `on_worker_gone` is called with a worker that is gone or hangs, `on_lost` with an assignment that will have no
    answer. `known` returns the known workers; it is called about once a second. `now` is the event loop's time.
    """

    def __init__(
        self,
        bus: Bus,
        replies: ReplySubjects,
        *,
        on_worker_gone: Callable[[str], None],
        on_lost: Callable[[AssignmentLost], None],
        known: Callable[[], Collection[str]],
    ) -> None:
        self._bus = bus
        self._replies = replies
        self._on_worker_gone = on_worker_gone
        self._on_lost = on_lost
        self._known = known
        self._loop = asyncio.get_running_loop()
        self._outstanding = OutstandingAssignments()
        self._heartbeats = Heartbeats()
        self._busy = asyncio.Event()
        self._echoed_at = 0.0

    def add(self, now: float, assignment_id: int, worker_id: str | None) -> None:
        """Watch over an assignment that goes to this worker, or with None to the queue group."""
        self._outstanding.add(now, assignment_id, worker_id or ANY_WORKER)
        if not self._busy.is_set():
            self._busy.set()

    def settle(self, assignment_id: int) -> None:
        """Forget an assignment that was answered, in whatever way."""
        self._outstanding.settle(assignment_id)

    def mark_alive(self, now: float, worker_id: str) -> None:
        """Note a sign of life of the worker."""
        self._outstanding.mark_alive(now, worker_id)

    def record_heartbeat(self, now: float, worker_id: str, heartbeat_s: float) -> None:
        """Note that the worker wrote its registry entry, as it does every `heartbeat_s`; 0 if it does not tell."""
        self._heartbeats.record(now, worker_id, heartbeat_s)

    def remove_worker(self, worker_id: str) -> None:
        """Forget a worker that is gone, and report the tasks of the queue group that it had as lost."""
        for lost in self._outstanding.remove_worker(worker_id):
            self._on_lost(lost)

    def echo_received(self, now: float) -> None:
        """Note that NATS returned what this process sent to itself."""
        self._echoed_at = now

    def ping_undelivered(self, worker_id: str) -> None:
        """Report the worker as gone: nobody listens for its pings.

        Just after NATS was away that proves nothing: the worker may need a moment longer than this process.
        """
        if worker_id != ANY_WORKER and not self._bus.unsettled:
            self._on_worker_gone(worker_id)

    def ping_answered(
        self, now: float, worker_id: str, pinged_at: float, assignment_ids: Collection[int] | None
    ) -> None:
        """Compare with what the worker has; report what is lost. None: the worker, of an old version, did not say."""
        if assignment_ids is None:
            self._outstanding.mark_alive(now, worker_id)
            return
        for lost in self._outstanding.reconcile(now, worker_id, pinged_at, assignment_ids):
            self._on_lost(lost)

    async def run(self) -> None:
        """Ping while an assignment is outstanding or a heartbeat overdue, until cancelled."""
        while True:
            if not self._outstanding:
                self._busy.clear()
                self._echoed_at = 0.0
                await self._until_busy(CHECK_INTERVAL_S)
            began = self._loop.time()
            interval_s = self._outstanding.interval_s
            await asyncio.sleep(interval_s)
            now = self._loop.time()
            late_s = now - began - interval_s
            if self._heartbeats.is_check_due(now):
                for worker_id in self._heartbeats.take_overdue(now, self._known()):
                    self._outstanding.suspect(now, worker_id)
            if not self._outstanding:
                continue
            if not self._bus.connected or late_s > ECHO_S or (self._echoed_at and now - self._echoed_at > ECHO_S):
                self._outstanding.restart_silence(now)  # NATS was away or silent, or this process was held up
            if self._bus.connected:
                if not self._echoed_at:
                    self._echoed_at = now
                await self._publish(self._replies.echo(now))
                await self._check(now)

    async def _until_busy(self, timeout_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._busy.wait()

    async def _check(self, now: float) -> None:
        for item in self._outstanding.check(now, self._known):
            match item:
                case Ping(worker_id):
                    await self._ping(now, worker_id)
                case WorkerHangs():
                    logger.bind(worker=item.worker_id, silent_s=round(item.silent_s, 1)).warning("worker hangs")
                    self._on_worker_gone(item.worker_id)
                case AssignmentLost():
                    self._on_lost(item)

    async def _ping(self, now: float, worker_id: str) -> None:
        subjects = self._bus.subjects
        subject = subjects.ping_any if worker_id == ANY_WORKER else subjects.ping(worker_id)
        await self._publish(subject, reply=self._replies.ping(now, worker_id))

    async def _publish(self, subject: str, *, reply: str = "") -> None:
        try:
            await self._bus.publish(subject, reply=reply)
        except LabelbusError as exc:
            logger.bind(subject=subject, reason=reason(exc)).debug("ping not sent")
