"""Membership of a worker in the queue group: it asks for tasks of `lb.task.any` only while it can run one at once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from loguru import logger

from bus.connection import Bus, Msg, Subscription
from bus.errors import UnavailableError
from bus.subjects import WORKER_GROUP
from worker.admission import Admission

LEAVE_AFTER_S: Final = 0.002
"""A worker that is full for less than this stays a member; what comes meanwhile is taken ahead or answered BUSY."""

RETRY_S: Final = 0.5
"""Between attempts to join while NATS is away."""


class GroupMembership:
    """Joins the queue group while the admission has room in its slots, leaves it while it has none or drains.

    `run()` is to be run as an owned task; call `update()` whenever the admission has changed.
    """

    def __init__(self, bus: Bus, admission: Admission, on_task: Callable[[Msg], Awaitable[None]]) -> None:
        self._bus = bus
        self._admission = admission
        self._on_task = on_task
        self._subscription: Subscription | None = None
        self._leave_timer: asyncio.TimerHandle | None = None
        self._due = asyncio.Event()

    def update(self) -> None:
        """Arrange for joining at once if there is room, or for leaving soon if there is none."""
        if self._admission.is_full:
            if self._leave_timer is None and self._subscription is not None:
                self._leave_timer = asyncio.get_running_loop().call_later(LEAVE_AFTER_S, self._leave_soon)
        else:
            if self._leave_timer is not None:
                self._leave_timer.cancel()
                self._leave_timer = None
            if self._subscription is None:
                self._due.set()

    async def leave(self) -> None:
        """Leave the group and return when the server knows; what it has sent before is still handed to `on_task`."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await self._bus.leave(subscription)

    async def run(self) -> None:
        """Join and leave as the admission asks, until cancelled."""
        self._due.set()
        async with asyncio.TaskGroup() as leaving:
            while True:
                await self._due.wait()
                self._due.clear()
                if self._wanted and self._subscription is None:
                    await self._join()
                elif not self._wanted and self._subscription is not None:
                    subscription, self._subscription = self._subscription, None
                    leaving.create_task(self._bus.leave(subscription))

    @property
    def _wanted(self) -> bool:
        return not (self._admission.is_full or self._admission.draining)

    async def _join(self) -> None:
        try:
            self._subscription = await self._bus.subscribe(
                self._bus.subjects.task_any, self._on_task, queue=WORKER_GROUP
            )
        except UnavailableError as exc:
            logger.bind(reason=str(exc)).debug("queue group not joined")
            asyncio.get_running_loop().call_later(RETRY_S, self._due.set)
        if not self._wanted:  # any more: the admission changed meanwhile
            self._due.set()

    def _leave_soon(self) -> None:
        self._leave_timer = None
        self._due.set()
