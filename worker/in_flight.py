"""The tasks that a worker has taken and not yet answered, and the asyncio tasks that serve them."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from worker.taken import TakenTask


class TasksInFlight:
    """Knows each task from `begin` until `end`, and owns the asyncio tasks that serve them.

    A task that waits for a slot is served by none, and a pass by one. Plain references instead of a TaskGroup, which
    costs each asyncio task twice as much.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._taken: set[TakenTask] = set()
        self._serving: set[asyncio.Task[None] | None] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._taken)

    def begin(self, taken: TakenTask) -> None:
        """Count a task that was taken."""
        if not self._taken:
            self._idle.clear()
        self._taken.add(taken)

    def end(self, taken: TakenTask) -> None:
        """Forget a task: it is answered."""
        self._taken.discard(taken)
        if not self._taken:
            self._idle.set()

    def serve(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> None:
        """Run what serves one or more of the tasks, as an asyncio task, which calls `served` at its end."""
        self._serving.add(self._loop.create_task(coroutine, name=name))

    def served(self) -> None:
        """Forget the running asyncio task. A done callback would cost every task a turn of the event loop."""
        self._serving.discard(asyncio.current_task())

    def outstanding_for(self, sender: str) -> tuple[str, ...]:
        """Return the last tokens of the reply subjects of this sender's tasks."""
        return tuple(taken.reply.token for taken in self._taken if taken.reply.sender == sender)

    def tasks(self) -> tuple[TakenTask, ...]:
        """Return the tasks that are not answered."""
        return tuple(self._taken)

    @property
    def is_serving(self) -> bool:
        """True while an asyncio task runs."""
        return bool(self._serving)

    async def idle(self) -> None:
        """Return when there is no task."""
        await self._idle.wait()

    async def cancel(self) -> None:
        """Cancel the asyncio tasks and return when they have ended; each answers its tasks that they were cancelled."""
        serving = [task for task in self._serving if task is not None]
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        self._serving.difference_update(serving)  # those too that were cancelled before their first step
