"""Asks workers that owe an answer how they are: the I/O of `dispatcher.debts`."""

import asyncio
from collections.abc import Callable, Collection
from typing import ClassVar, Final

import nats.errors
from loguru import logger

from bus.connection import Bus
from bus.errors import reason
from bus.messages import WorkerState
from bus.names import ANY_WORKER
from dispatcher.debts import INTERVAL_S, Ask, Debts, Hangs, Lost

ECHO_S: Final = 3 * INTERVAL_S
"""NATS brings back what one sends oneself within this, or is silent itself, and then nobody's silence counts."""


class Probes:
    """Run `run()` as an owned task.

    `on_gone` is called with a worker that is gone or hangs, `on_lost` with what nobody will answer.
    `known` are the workers that would be missed, asked for only when somebody must have a task and none names it.
    """

    MARK: ClassVar[str] = "p-"
    """What the token of a probe's reply subject begins with; the time of asking and the worker follow."""

    def __init__(
        self,
        bus: Bus,
        *,
        reply_to: Callable[[str], str],
        number_of: Callable[[str], int],
        on_gone: Callable[[str], None],
        on_lost: Callable[[Lost], None],
        known: Callable[[], Collection[str]],
    ) -> None:
        self._bus = bus
        self._reply_to = reply_to
        self._number_of = number_of
        self._on_gone = on_gone
        self._on_lost = on_lost
        self._known = known
        self._loop = asyncio.get_running_loop()
        self._debts = Debts()
        self._owing = asyncio.Event()
        self._echoed_at = 0.0

    def sent(self, token: int, worker_id: str | None) -> None:
        """A task went to this worker, or to the queue group."""
        self._debts.sent(self._loop.time(), token, worker_id or ANY_WORKER)
        if not self._owing.is_set():
            self._owing.set()

    def settled(self, token: int) -> None:
        """The assignment was answered, one way or the other."""
        self._debts.settled(token)

    def heard(self, worker_id: str) -> None:
        """The worker gave a sign of life."""
        self._debts.heard(self._loop.time(), worker_id)

    def forget_worker(self, worker_id: str) -> None:
        """The worker is gone."""
        for lost in self._debts.gone(worker_id):
            self._on_lost(lost)

    def answered(self, token: str, state: WorkerState | None) -> None:
        """A probe came back: with a worker's state, or with None (nobody listens there, or it is the echo).

        Just after NATS was away that says nothing: the worker may need a moment longer than this dispatcher.
        """
        time_ms, _, worker_id = token.removeprefix(self.MARK).partition("-")
        if not time_ms.isdecimal():
            return
        now = self._loop.time()
        if not worker_id:
            self._echoed_at = now
        elif state is None:
            if worker_id != ANY_WORKER and not self._bus.unsettled:
                self._on_gone(worker_id)
        elif state.owed is None:  # of a version that does not tell
            self._debts.heard(now, state.worker_id)
        else:
            owed = {self._number_of(token) for token in state.owed}
            for lost in self._debts.told(now, state.worker_id, int(time_ms) / 1000, owed):
                self._on_lost(lost)

    def is_echo(self, token: str) -> bool:
        """True for what `run` sends to itself, to hear whether NATS is there."""
        return token.endswith("-") and token.removeprefix(self.MARK)[:-1].isdecimal()

    async def run(self) -> None:
        """Probe while anybody owes anything, until cancelled."""
        while True:
            await self._owing.wait()
            began = self._loop.time()
            interval_s = self._debts.interval_s
            await asyncio.sleep(interval_s)
            now = self._loop.time()
            late_s = now - began - interval_s
            if not self._debts:
                self._owing.clear()
                self._echoed_at = 0.0
                continue
            if not self._bus.connected or late_s > ECHO_S or (self._echoed_at and now - self._echoed_at > ECHO_S):
                self._debts.excuse(now)  # NATS was away or silent, or this process was held up
            if self._bus.connected:
                if not self._echoed_at:
                    self._echoed_at = now
                await self._echo(now)
                await self._round(now)

    async def _round(self, now: float) -> None:
        for item in self._debts.round(now, self._known):
            match item:
                case Ask(worker_id):
                    await self._ask(now, worker_id)
                case Hangs():
                    logger.bind(worker=item.worker_id, silent_s=round(item.silent_s, 1)).warning("worker hangs")
                    self._on_gone(item.worker_id)
                case Lost():
                    self._on_lost(item)

    async def _ask(self, now: float, worker_id: str) -> None:
        subjects = self._bus.subjects
        subject = subjects.ping_any if worker_id == ANY_WORKER else subjects.ping(worker_id)
        await self._publish(subject, reply=self._token(now, worker_id))

    async def _echo(self, now: float) -> None:
        await self._publish(self._token(now, ""))

    def _token(self, now: float, worker_id: str) -> str:
        return self._reply_to(f"{self.MARK}{int(now * 1000)}-{worker_id}")

    async def _publish(self, subject: str, *, reply: str = "") -> None:
        try:
            await self._bus.nc.publish(subject, reply=reply)
        except nats.errors.Error as exc:
            logger.bind(subject=subject, reason=reason(exc)).debug("probe not sent")
