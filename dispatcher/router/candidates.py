"""The waiting labels for which a load may pay, so that the best is found without looking at all of them.

A worker's time goes first where it gains most a second: candidates are compared by benefit over load time. The benefit
is a straight line in time: the queue's waiting time so far grows with as many seconds a second as tasks wait, so the
benefit a task grows with one. Among labels with as many tasks a second of load the order therefore never changes while
nothing happens to them: one heap for each such slope, or rather for those within an eighth of each other, with the
benefit a task less the time as the key, which depends on nothing but the queue however long the clock has run. An entry
is void once its label has moved on to another version; void entries are dropped when they come to the top.
"""

import math
from heapq import heapify, heappop, heappush
from typing import Final

from dispatcher.router.labels import Label

LEAST_LOAD_S: Final = 1e-3
"""Loads count as no shorter than this."""

_CLASSES: Final = 6
"""Heaps for each doubling of the slope: equal loads have one for each number of tasks up to 9."""

_Entry = tuple[float, int, int, Label]
_Aged = tuple[float, int, Label]


class Candidates:
    """Heaps of (−benefit a task at time 0, sequence number, version, label) by class of slope."""

    def __init__(self) -> None:
        self._heaps: dict[int, list[_Entry]] = {}
        self._by_age: list[_Aged] = []
        self._sequence = 0
        self._entries = 0
        self._compact_at = 1024

    def __bool__(self) -> bool:
        return bool(self._heaps)

    def put(self, label: Label, each_at_zero: float, load_s: float) -> None:
        """Enter the label as it is now, with its benefit a task less the time, and its load time.

        Entries for its older versions are void already.
        """
        slope = math.floor(_CLASSES * math.log2(label.count / max(load_s, LEAST_LOAD_S)))
        self._sequence += 1
        entry = (-each_at_zero, self._sequence, label.version, label)
        heap = self._heaps.get(slope)
        if heap is None:
            self._heaps[slope] = [entry]
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
        """The best label of each class of slope."""
        found: list[Label] = []
        empty: list[int] = []
        for slope, heap in self._heaps.items():
            while heap and heap[0][2] != heap[0][3].version:
                heappop(heap)
                self._entries -= 1
            if heap:
                found.append(heap[0][3])
            else:
                empty.append(slope)
        for slope in empty:
            del self._heaps[slope]
        return found

    def _compact(self) -> None:
        # At most half of the entries are left valid between two of these, so an entry pays for its removal once.
        self._entries = 0
        for slope in list(self._heaps):
            heap = [entry for entry in self._heaps[slope] if entry[2] == entry[3].version]
            if heap:
                heapify(heap)
                self._heaps[slope] = heap
                self._entries += len(heap)
            else:
                del self._heaps[slope]
        self._by_age = [entry for entry in self._by_age if entry[2].aged_entry == entry[0] and entry[2].count]
        heapify(self._by_age)
        self._compact_at = max(1024, 2 * self._entries)
