"""Waiting labels for which a load may pay, indexed so that the best is found without looking at all of them.

A load goes first where it gains most for each second of a worker's time: labels are ranked by benefit over load time.
The benefit of a label grows linearly: by as many seconds a second as tasks wait for it, so by one for each task. Two
labels with the same number of tasks per second of load therefore keep their order until something happens to one of
them. So there is one heap for each such slope (slopes within an eighth of each other share one), and its key is the
benefit a task minus the time, which does not depend on the clock. An entry is void once its label has another version;
void entries are dropped when they come to the top.
"""

import math
from heapq import heapify, heappop, heappush
from typing import Final

from dispatcher.router.state.workers import PoolLabel

LEAST_LOAD_S: Final = 1e-3
"""Loads count as no shorter than this."""

_CLASSES: Final = 6
"""Heaps for each doubling of the slope: equal loads have one for each number of tasks up to 9."""

_Entry = tuple[float, int, int, PoolLabel]
_Aged = tuple[float, int, PoolLabel]


class LoadCandidates:
    """Heaps of (−benefit a task at time 0, sequence number, version, label) by class of slope."""

    def __init__(self) -> None:
        self._heaps: dict[int, list[_Entry]] = {}
        self._by_age: list[_Aged] = []
        self._sequence = 0
        self._entries = 0
        self._compact_at = 1024

    def put(self, label: PoolLabel, each_at_zero: float, load_s: float) -> None:
        """Enter the label as it is now: its benefit a task less the time, and its load time.

        Entries of older versions of the label are void.
        """
        slope = math.floor(_CLASSES * math.log2(label.queue_length / max(load_s, LEAST_LOAD_S)))
        self._sequence += 1
        entry = (-each_at_zero, self._sequence, label.version, label)
        heap = self._heaps.get(slope)
        if heap is None:
            self._heaps[slope] = [entry]
        else:
            heappush(heap, entry)
        self._entries += 1
        arrived = label.oldest
        # Only labels without a holder can starve: the others' tasks are hits, the oldest first.
        if label.aging_entry != arrived and not label.holders:
            label.aging_entry = arrived
            heappush(self._by_age, (arrived, self._sequence, label))
        if self._entries > self._compact_at:
            self._compact()

    def oldest(self, arrived_before: float) -> PoolLabel | None:
        """Return the label whose first task arrived first, if that was before the time given."""
        by_age = self._by_age
        while by_age:
            arrived, _, label = by_age[0]
            if label.aging_entry == arrived and label.oldest == arrived:
                return label if arrived < arrived_before else None
            heappop(by_age)
            if label.aging_entry == arrived:
                label.aging_entry = math.nan
        return None

    def skip_oldest(self, label: PoolLabel) -> None:
        """Take the label that `oldest` returned out of the order of age until it is put in again."""
        heappop(self._by_age)
        label.aging_entry = math.nan

    def tops(self) -> list[PoolLabel]:
        """Return the best label of each class of slope."""
        found: list[PoolLabel] = []
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
        # Between two compactions at least as many entries are added as were left: constant cost an entry.
        self._entries = 0
        for slope in list(self._heaps):
            heap = [entry for entry in self._heaps[slope] if entry[2] == entry[3].version]
            if heap:
                heapify(heap)
                self._heaps[slope] = heap
                self._entries += len(heap)
            else:
                del self._heaps[slope]
        self._by_age = [entry for entry in self._by_age if entry[2].aging_entry == entry[0] and entry[2].queue_length]
        heapify(self._by_age)
        self._compact_at = max(1024, 2 * self._entries)
