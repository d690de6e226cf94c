"""Requests whose client goes away while they wait: what is done for them is cancelled."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from litestar import Request

WATCH_AFTER_S: Final = 0.25
"""Requests that are answered sooner, most of them, do not pay for a watch."""

CLIENT_CLOSED_REQUEST: Final = 499
"""As nginx calls it. It is never seen by anybody."""


class ClientGoneError(Exception):
    """The client closed the connection before it had its answer."""


@contextmanager
def cancelled_when_gone(request: Request[Any, Any, Any]) -> Iterator[None]:
    """Cancel what is in the block, in this task, when the client goes away, and raise `ClientGoneError` instead.

    The body of the request has been read before.
    """
    working = asyncio.current_task()
    assert working is not None
    watching: asyncio.Task[None] | None = None
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone = True
        working.cancel()

    def begin() -> None:
        nonlocal watching
        watching = asyncio.create_task(watch(), name="client watch")

    timer = asyncio.get_running_loop().call_later(WATCH_AFTER_S, begin)
    try:
        yield
    except asyncio.CancelledError:
        if gone and working.uncancel() == 0:
            raise ClientGoneError from None
        raise
    finally:
        timer.cancel()
        if watching is not None:
            watching.cancel()
