"""The tasks that a worker has taken and not yet answered."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class TasksInFlight:
    """Owns the asyncio tasks that serve tasks: each from `begin` until it calls `end` when its answer is sent.

    Plain references instead of a TaskGroup, which costs each task twice as much.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._replies: dict[asyncio.Task[Any] | None, str] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._replies)

    def begin(self, serve: Coroutine[Any, Any, None], *, name: str, reply: str) -> None:
        """Run `serve`, which answers a task on the subject `reply`."""
        self._idle.clear()
        self._replies[self._loop.create_task(serve, name=name)] = reply

    def end(self) -> None:
        """Forget the task that is served by the running asyncio task: it is answered."""
        del self._replies[asyncio.current_task()]
        if not self._replies:
            self._idle.set()

    def owed_to(self, sender: str) -> tuple[str, ...]:
        """Return the last tokens of the reply subjects of this sender's tasks."""
        split = (reply.rpartition(".") for reply in self._replies.values())
        return tuple(token for owner, _, token in split if owner == sender)

    async def idle(self) -> None:
        """Return when there is none."""
        await self._idle.wait()

    async def cancel(self) -> None:
        """Cancel all of them and return when each has answered that it was."""
        tasks = [task for task in self._replies if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def sender_of(reply: str) -> str:
    """Return who sent a task, by its reply subject: all but the last token, which is the assignment's id."""
    return reply.rpartition(".")[0]
