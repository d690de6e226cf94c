"""Admission of tasks to a worker: plain code, no I/O and no clock.

A task is *taken* until it is answered. Of the tasks taken at most `slots` run at once; at most `window` more are taken
ahead, and load their labels or wait for a slot meanwhile. A worker that drains takes none.
"""

from collections import deque
from contextlib import suppress
from typing import Final, Generic, TypeVar

Ticket = TypeVar("Ticket")


class Admission(Generic[Ticket]):
    """Counts the tasks that a worker has taken and that run; tasks without a slot queue for one, each with a ticket.

    Attributes are for reading only, and no properties since each task asks several times.
    """

    def __init__(self, *, slots: int, window: int) -> None:
        self.slots: Final = slots
        self.window: Final = window
        self.taken = 0
        """Tasks taken and not answered."""
        self.is_full = False
        """True while as many tasks are taken as there are slots: then the worker asks for no more."""
        self.draining = False
        self.free_slots = slots
        """Slots without a task that runs in them; none while tasks queue."""
        self._queue: deque[Ticket] = deque()

    @property
    def is_open(self) -> bool:
        """True if one more task may be taken."""
        return self.taken < self.slots + self.window and not self.draining

    def take(self) -> None:
        """Count one more task."""
        self.taken += 1
        self.is_full = self.taken >= self.slots

    def answered(self) -> None:
        """Count one task less: its result is known."""
        assert self.taken > 0
        self.taken -= 1
        self.is_full = self.taken >= self.slots

    def drain(self) -> None:
        """Take no more tasks."""
        self.draining = True

    def start(self) -> None:
        """Occupy a slot, of which one must be free."""
        assert self.free_slots > 0
        self.free_slots -= 1

    def queue(self, ticket: Ticket) -> None:
        """Put a task last in the queue for a slot."""
        self._queue.append(ticket)

    def withdraw(self, ticket: Ticket) -> None:
        """Remove a task from the queue for a slot, if it is still there."""
        with suppress(ValueError):
            self._queue.remove(ticket)

    def finish(self) -> Ticket | None:
        """Free a slot; return the ticket of the task that has it from now on, if one waits."""
        if self._queue:
            return self._queue.popleft()
        assert self.free_slots < self.slots
        self.free_slots += 1
        return None
