"""Deadlines of what is under way, most of which is over long before: one timer can serve them all.

A timer of uvloop costs 2 µs to set and to cancel, for each task; an entry here a third of that. Pure: time comes as an
argument, in seconds of one monotonic clock.
"""

import heapq
from typing import Final, Generic, TypeVar

TIDY_ABOVE: Final = 256
"""Entries that are over go when there are so many, and more of them than of the others."""

T = TypeVar("T")


class Deadline(Generic[T]):
    """One entry; `item` is None once it is over, and what it was is free."""

    __slots__ = ("at", "item")

    def __init__(self, at: float, item: T) -> None:
        self.at: Final = at
        self.item: T | None = item


class Deadlines(Generic[T]):
    """Entries in the order of their time."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Deadline[T]]] = []
        self._number = 0
        self._over = 0

    def __len__(self) -> int:
        return len(self._heap) - self._over

    def add(self, at: float, item: T) -> Deadline[T]:
        """Remember that `item` is due at `at`."""
        self._number += 1
        deadline = Deadline(at, item)
        heapq.heappush(self._heap, (at, self._number, deadline))
        return deadline

    def over(self, deadline: Deadline[T]) -> None:
        """The item needs its deadline no more."""
        if deadline.item is None:
            return
        deadline.item = None
        self._over += 1
        if self._over > TIDY_ABOVE and self._over > len(self):
            self._heap = [entry for entry in self._heap if entry[2].item is not None]
            heapq.heapify(self._heap)
            self._over = 0

    def next_due(self) -> float | None:
        """When to call `due`; there may be nothing due then."""
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[T]:
        """What is due, the earliest first; it is over."""
        items = []
        while self._heap and self._heap[0][0] <= now:
            deadline = heapq.heappop(self._heap)[2]
            if deadline.item is None:
                self._over -= 1
            else:
                items.append(deadline.item)
                deadline.item = None
        return items
