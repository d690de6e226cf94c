"""The tasks that a worker has taken and not yet answered."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from bus.subjects import ReplyAddress


class TasksInFlight:
    """Owns the asyncio tasks that serve tasks: each from `begin` until it calls `end` when its answer is sent.

    Plain references instead of a TaskGroup, which costs each task twice as much.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._replies: dict[asyncio.Task[Any] | None, ReplyAddress] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._replies)

    def begin(self, serve: Coroutine[Any, Any, None], *, name: str, reply: ReplyAddress) -> None:
        """Run `serve`, which answers a task at the address `reply`."""
        self._idle.clear()
        self._replies[self._loop.create_task(serve, name=name)] = reply

    def end(self) -> None:
        """Forget the task that is served by the running asyncio task: it is answered."""
        del self._replies[asyncio.current_task()]
        if not self._replies:
            self._idle.set()

    def outstanding_for(self, sender: str) -> tuple[str, ...]:
        """Return the last tokens of the reply subjects of this sender's tasks."""
        return tuple(reply.token for reply in self._replies.values() if reply.sender == sender)

    async def idle(self) -> None:
        """Return when there is none."""
        await self._idle.wait()

    async def cancel(self) -> None:
        """Cancel all of them and return when each has answered that it was."""
        tasks = [task for task in self._replies if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
