"""When the router wants to be called again, and for what."""

from heapq import heapify, heappop, heappush

from dispatcher.router.labels import Label, Pending
from dispatcher.router.lineup import LineUp
from dispatcher.router.workers import Worker

Subject = Label | LineUp | Pending | Worker
_Entry = tuple[float, int, Subject]


class Timers:
    """A heap of (time, what to look at). A timer whose subject no longer wants that time is void."""

    def __init__(self) -> None:
        self._heap: list[_Entry] = []
        self._sequence = 0
        self._compact_at = 1024

    def set(self, at: float, subject: Subject) -> None:
        """Look at the subject then. Setting is cheap; the subject itself says which of its timers counts."""
        self._sequence += 1
        heappush(self._heap, (at, self._sequence, subject))
        if len(self._heap) > self._compact_at:
            self._heap = [entry for entry in self._heap if _wanted(entry)]
            heapify(self._heap)
            self._compact_at = max(1024, 2 * len(self._heap))

    def look_at(self, label: Label, at: float) -> None:
        """Look at the label then, unless that is to happen earlier anyway."""
        if not label.look_at or at < label.look_at:
            label.look_at = at
            self.set(at, label)

    def next(self) -> float | None:
        """The time of the first timer that counts."""
        heap = self._heap
        while heap:
            if _wanted(heap[0]):
                return heap[0][0]
            heappop(heap)
        return None

    def due(self, now: float) -> Subject | None:
        """Take out the first subject whose time has come, if any."""
        at = self.next()
        if at is None or at > now:
            return None
        return heappop(self._heap)[2]


def _wanted(entry: _Entry) -> bool:
    at, _, subject = entry
    if isinstance(subject, Pending):
        return subject.waiting
    return subject.look_at == at
