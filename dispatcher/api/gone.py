"""Requests whose client goes away while they wait: what is done for them is cancelled."""

import asyncio
from collections import deque
from types import TracebackType
from typing import Final

from litestar.types import Receive

WATCH_AFTER_S: Final = 0.25
"""Requests that are answered sooner, most of them, do not pay for a watch, nor for a timer of their own."""

CLIENT_CLOSED_REQUEST: Final = 499
"""As nginx calls it. It is never seen by anybody."""


class ClientGoneError(Exception):
    """The client closed the connection before it had its answer."""


class Clients:
    """The clients of the requests under way.

        with clients.watched(request.receive): ...

    cancels what is in the block, in this task, when the client goes away, and raises `ClientGoneError` instead. The
    body of the request has been read before.
    """

    def __init__(self) -> None:
        self._young: deque[Watched] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def watched(self, receive: Receive) -> "Watched":
        """A block for the request that `receive` belongs to."""
        loop = asyncio.get_running_loop()
        watched = Watched(receive, loop.time() + WATCH_AFTER_S)
        self._young.append(watched)
        if self._timer is None:
            self._timer = loop.call_at(watched.due, self._look)
        return watched

    def _look(self) -> None:
        """Watch over those that have waited long enough; all wait equally long, so they are in order."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._young and (self._young[0].over or self._young[0].due <= now):
            self._young.popleft().begin()
        self._timer = loop.call_at(self._young[0].due, self._look) if self._young else None


class Watched:
    """One request. `due` is when the watch over its client begins, by the event loop's clock."""

    __slots__ = ("_gone", "_receive", "_watching", "_working", "due", "over")

    def __init__(self, receive: Receive, due: float) -> None:
        self._receive = receive
        self._working: asyncio.Task[object] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._gone = False
        self.due = due
        self.over = False

    def begin(self) -> None:
        """Watch from now on, unless it is over."""
        if not self.over:
            self._watching = asyncio.create_task(self._watch(), name="client watch")

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        assert self._working is not None
        self._working.cancel()

    def __enter__(self) -> None:
        self._working = asyncio.current_task()

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.over = True
        if self._watching is not None:
            self._watching.cancel()
        working, self._working = self._working, None
        if self._gone and kind is asyncio.CancelledError and working is not None and working.uncancel() == 0:
            raise ClientGoneError from None
