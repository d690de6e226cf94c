"""The waiting labels for which a load may pay, so that the best is found without looking at all of them.

The benefit of loading a label for its queue is a straight line in time: the queue's waiting time so far grows with
as many seconds a second as tasks wait, so the benefit a task grows with one. Among labels with the same number of tasks
the order therefore never changes while nothing happens to them: one heap per number of tasks, with the benefit a task
less the time as the key, which depends on nothing but the queue however long the clock has run. Numbers above 8 share a
heap with their neighbours, at most a fifth away. An entry is void once its label has moved on to another version; void
entries are dropped when they come to the top.
"""

import math
from heapq import heapify, heappop, heappush

from dispatcher.router.labels import Label

_EXACT = 8
_Entry = tuple[float, int, int, Label]
_Aged = tuple[float, int, Label]


class Candidates:
    """Heaps of (−benefit a task at time 0, sequence number, version, label) by size class of the queue."""

    def __init__(self) -> None:
        self._heaps: dict[int, list[_Entry]] = {}
        self._by_age: list[_Aged] = []
        self._sequence = 0
        self._entries = 0
        self._compact_at = 1024

    def __bool__(self) -> bool:
        return bool(self._heaps)

    def put(self, label: Label, each_at_zero: float) -> None:
        """Enter the label as it is now, with its benefit a task less the time.

        Entries for its older versions are void already.
        """
        count = label.count
        size = count if count <= _EXACT else _EXACT + int(4 * math.log2(count / _EXACT))
        self._sequence += 1
        entry = (-each_at_zero, self._sequence, label.version, label)
        heap = self._heaps.get(size)
        if heap is None:
            self._heaps[size] = [entry]
        else:
            heappush(heap, entry)
        self._entries += 1
        arrived = label.oldest
        if label.aged_entry != arrived:
            label.aged_entry = arrived
            heappush(self._by_age, (arrived, self._sequence, label))
        if self._entries > self._compact_at:
            self._compact()

    def oldest(self, arrived_before: float) -> Label | None:
        """The label whose first task arrived first, if that was before the time given."""
        by_age = self._by_age
        while by_age:
            arrived, _, label = by_age[0]
            if label.aged_entry == arrived and label.oldest == arrived:
                return label if arrived < arrived_before else None
            heappop(by_age)
            if label.aged_entry == arrived:
                label.aged_entry = math.nan
        return None

    def not_now(self, label: Label) -> None:
        """The oldest label needs no load; it is forgotten here until it is put in again."""
        heappop(self._by_age)
        label.aged_entry = math.nan

    def tops(self) -> list[Label]:
        """The best label of each size class."""
        found: list[Label] = []
        empty: list[int] = []
        for size, heap in self._heaps.items():
            while heap and heap[0][2] != heap[0][3].version:
                heappop(heap)
                self._entries -= 1
            if heap:
                found.append(heap[0][3])
            else:
                empty.append(size)
        for size in empty:
            del self._heaps[size]
        return found

    def _compact(self) -> None:
        # At most half of the entries are left valid between two of these, so an entry pays for its removal once.
        self._entries = 0
        for size in list(self._heaps):
            heap = [entry for entry in self._heaps[size] if entry[2] == entry[3].version]
            if heap:
                heapify(heap)
                self._heaps[size] = heap
                self._entries += len(heap)
            else:
                del self._heaps[size]
        self._by_age = [entry for entry in self._by_age if entry[2].aged_entry == entry[0] and entry[2].count]
        heapify(self._by_age)
        self._compact_at = max(1024, 2 * self._entries)
