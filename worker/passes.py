"""Gathering of tasks into passes, and the order in which passes run: plain code, no I/O and no clock.

A pass is one run of the model for several tasks of one label and one task type. Nothing is held back for company: a
task that finds a free slot starts at once, alone. Tasks that find none gather, and a slot that becomes free takes, of
the group whose first task waits longest, as many as run best in one pass (`PassLaws.next_size`).
"""

import heapq
from collections import deque
from typing import Final, Generic, TypeVar

from worker.pass_laws import PassLaws

Ticket = TypeVar("Ticket")

Group = tuple[str, str]
"""Label and task type."""


class Gathering(Generic[Ticket]):
    """The slots of a worker, and the tasks that wait for one, each with a ticket.

    Only tasks whose label is loaded wait here. Each ticket that was given to `wait` is returned once, by `finish` or
    `clear`. Attributes are for reading only, and no properties since each task asks.
    """

    def __init__(self, *, slots: int, laws: PassLaws) -> None:
        self.slots: Final = slots
        self.free_slots = slots
        """Slots in which nothing runs; none while tasks wait."""
        self.waiting = 0
        """Tasks that wait for a slot."""
        self._laws = laws
        self._added = 0
        self._groups: dict[Group | None, deque[tuple[int, Ticket]]] = {}
        """Waiting tasks with their numbers in the order of `wait`; None has those that run alone."""
        self._oldest: list[tuple[int, Group | None]] = []
        """Heap of the groups by their first task; each group that is not empty is in it once."""

    def start(self) -> None:
        """Occupy a slot, of which one must be free: a task begins to run at once."""
        assert self.free_slots > 0
        self.free_slots -= 1

    def wait(self, ticket: Ticket, label: str, task_type: str, *, shares: bool) -> None:
        """Have a task wait, since no slot is free; without `shares` it will run in a pass of its own."""
        assert self.free_slots == 0
        group = (label, task_type) if shares else None
        tasks = self._groups.get(group)
        if tasks is None:
            tasks = self._groups[group] = deque()
            heapq.heappush(self._oldest, (self._added, group))
        tasks.append((self._added, ticket))
        self._added += 1
        self.waiting += 1

    def finish(self) -> tuple[Ticket, ...]:
        """Free a slot; return the tickets of the pass that has it from now on, () if no task waits."""
        if not self._oldest:
            assert self.free_slots < self.slots
            self.free_slots += 1
            return ()
        _, group = heapq.heappop(self._oldest)
        tasks = self._groups[group]
        size = 1 if group is None else self._laws.next_size(group[0], len(tasks))
        begun = tuple([tasks.popleft()[1] for _ in range(size)])
        self.waiting -= size
        if tasks:
            heapq.heappush(self._oldest, (tasks[0][0], group))
        else:
            del self._groups[group]
        return begun

    def clear(self) -> tuple[Ticket, ...]:
        """Remove all tasks that wait; return their tickets, the oldest first."""
        tasks = sorted((task for group in self._groups.values() for task in group), key=lambda task: task[0])
        self._groups.clear()
        self._oldest.clear()
        self.waiting = 0
        return tuple(ticket for _, ticket in tasks)
