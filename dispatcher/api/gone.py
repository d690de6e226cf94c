"""Requests whose client goes away while they wait: what is done for them is cancelled."""

import asyncio
from collections import deque
from collections.abc import Callable
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

        with clients.watched(request.receive, give_up): ...

    calls `give_up()` when the client goes away, which must end what is in the block with a `CancelledError`;
    `ClientGoneError` is raised instead. The body of the request has been read before.
    """

    def __init__(self) -> None:
        self._young: deque[Watched] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def watched(self, receive: Receive, give_up: Callable[[], object]) -> "Watched":
        """A block for the request that `receive` belongs to."""
        loop = asyncio.get_running_loop()
        watched = Watched(receive, give_up, loop.time() + WATCH_AFTER_S)
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

    __slots__ = ("_give_up", "_gone", "_receive", "_watching", "due", "over")

    def __init__(self, receive: Receive, give_up: Callable[[], object], due: float) -> None:
        self._receive: Receive | None = receive
        self._give_up = give_up
        self._watching: asyncio.Task[None] | None = None
        self._gone = False
        self.due = due
        self.over = False

    def begin(self) -> None:
        """Watch from now on, unless it is over."""
        if self._receive is not None:
            self._watching = asyncio.create_task(self._watch(self._receive), name="client watch")

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._give_up()

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.over = True
        self._receive = None  # the request may be freed before its turn to be looked at comes
        if self._watching is not None:
            self._watching.cancel()
        if self._gone and kind is asyncio.CancelledError:
            raise ClientGoneError from None
