"""Watches over workers that owe an answer.

A request to a worker that is killed gives nothing but a timeout, and its key in the registry lives for three
heartbeats more. So a worker that has owed an answer for a while and has not been heard of is asked for its state:
"no responders" says at once that its process is gone, and silence says that it hangs.
"""

import asyncio
from collections.abc import Callable
from typing import ClassVar, Final

import msgspec
import nats.errors
from loguru import logger

from bus.connection import Bus
from bus.errors import reason

INTERVAL_S: Final = 0.4
"""With no responders answered in a millisecond, a killed worker is known within twice this."""

SILENCE_S: Final = 4.0
"""A worker that answers no probe for so long hangs. A load or a long task does not keep a worker from answering."""


class Watched(msgspec.Struct):
    """A worker that owes answers. Times are those of the event loop, seconds."""

    tokens: set[int]
    owing_since: float
    heard_at: float
    asked_at: float = 0.0


class Probes:
    """Run `run()` as an owned task; `on_gone` is called with a worker that is gone or hangs."""

    MARK: ClassVar[str] = "p-"

    def __init__(self, bus: Bus, *, reply_to: Callable[[str], str], on_gone: Callable[[str], None]) -> None:
        self._bus = bus
        self._reply_to = reply_to
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._watched: dict[str, Watched] = {}
        self._worker_of: dict[int, str] = {}
        self._owing = asyncio.Event()

    def sent(self, token: int, worker_id: str) -> None:
        """A task went to this worker."""
        now = self._loop.time()
        self._worker_of[token] = worker_id
        watched = self._watched.get(worker_id)
        if watched is None:
            self._watched[worker_id] = Watched({token}, now, now)
            self._owing.set()
        else:
            watched.tokens.add(token)

    def settled(self, token: int) -> None:
        """The assignment was answered, one way or the other."""
        worker_id = self._worker_of.pop(token, None)
        watched = self._watched.get(worker_id) if worker_id is not None else None
        if worker_id is not None and watched is not None:
            watched.tokens.discard(token)
            if not watched.tokens:
                del self._watched[worker_id]

    def heard(self, worker_id: str) -> None:
        """The worker gave a sign of life."""
        watched = self._watched.get(worker_id)
        if watched is not None:
            watched.heard_at = self._loop.time()

    def forget_worker(self, worker_id: str) -> None:
        """The worker is gone; what it owed is somebody else's affair."""
        watched = self._watched.pop(worker_id, None)
        for token in watched.tokens if watched is not None else ():
            self._worker_of.pop(token, None)

    async def run(self) -> None:
        """Probe while anybody owes anything, until cancelled."""
        while True:
            await self._owing.wait()
            await asyncio.sleep(INTERVAL_S)
            if not self._watched:
                self._owing.clear()
                continue
            if self._bus.connected:
                await self._probe(self._loop.time())
            else:
                self._excuse(self._loop.time())

    async def _probe(self, now: float) -> None:
        for worker_id, watched in list(self._watched.items()):
            if now - watched.heard_at > SILENCE_S and watched.asked_at > watched.heard_at:
                logger.bind(worker=worker_id, silent_s=round(now - watched.heard_at, 1)).warning("worker hangs")
                self._on_gone(worker_id)
            elif now - watched.heard_at >= INTERVAL_S:
                watched.asked_at = now
                await self._ask(worker_id)

    def _excuse(self, now: float) -> None:
        """Nobody can be heard while NATS is away."""
        for watched in self._watched.values():
            watched.heard_at = now

    async def _ask(self, worker_id: str) -> None:
        try:
            await self._bus.nc.publish(
                self._bus.subjects.ping(worker_id), reply=self._reply_to(f"{self.MARK}{worker_id}")
            )
        except nats.errors.Error as exc:
            logger.bind(worker=worker_id, reason=reason(exc)).debug("probe not sent")
