"""Cancellation of work whose HTTP client disconnects before it is answered."""

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final

from litestar.types import Receive

WATCH_AFTER_S: Final = 0.25
"""Age at which a request gets a watch over its client. Most requests are answered sooner and need none."""

CLIENT_CLOSED_REQUEST: Final = 499
"""Status of a request whose client has disconnected, as in nginx. No client sees it."""


class ClientDisconnectedError(Exception):
    """The client closed its connection before it was answered."""


class Disconnects:
    """Watches over the clients of requests in flight.

        with disconnects.watched(request.receive, cancel): ...

    calls `cancel()` when the client disconnects. `cancel` must end the block with a `CancelledError`, in whose place
    `ClientDisconnectedError` is raised. The body of the request must have been read before.
    """

    def __init__(self) -> None:
        self._young: deque[Watched] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def watched(self, receive: Receive, cancel: Callable[[], object]) -> "Watched":
        """Return a context manager for the request that `receive` belongs to."""
        loop = asyncio.get_running_loop()
        watched = Watched(receive, cancel, loop.time() + WATCH_AFTER_S)
        self._young.append(watched)
        if self._timer is None:
            self._timer = loop.call_at(watched.due, self._begin_due)
        return watched

    def _begin_due(self) -> None:
        """Begin to watch the requests that are due; they are in order, since each is due after the same time."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._young and (self._young[0].over or self._young[0].due <= now):
            self._young.popleft().begin()
        self._timer = loop.call_at(self._young[0].due, self._begin_due) if self._young else None


class Watched:
    """One request; `due` is the time, by the event loop's clock, at which the watch over its client begins."""

    __slots__ = ("_cancel", "_disconnected", "_receive", "_watching", "due", "over")

    def __init__(self, receive: Receive, cancel: Callable[[], object], due: float) -> None:
        self._receive: Receive | None = receive
        self._cancel = cancel
        self._watching: asyncio.Task[None] | None = None
        self._disconnected = False
        self.due = due
        self.over = False

    def begin(self) -> None:
        """Watch the client from now on, unless the request is over."""
        if self._receive is not None:
            self._watching = asyncio.create_task(self._watch(self._receive), name="client watch")

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._disconnected = True
        self._cancel()

    def __enter__(self) -> None:
        """Enter the block; the watch begins later, at `due`."""

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.over = True
        self._receive = None  # frees the request before `due`
        if self._watching is not None:
            self._watching.cancel()
        if self._disconnected and kind is asyncio.CancelledError:
            raise ClientDisconnectedError from None
