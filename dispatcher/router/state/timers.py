"""Timers of the router: when it wants to be called again, and for what."""

from heapq import heapify, heappop, heappush
from typing import Protocol

from dispatcher.router.state.labels import Pending
from dispatcher.router.state.workers import PoolLabel, PoolTask


class Sleeper(Protocol):
    """Something with at most one timer that counts: `wake_at` is its time, 0 for none."""

    wake_at: float


Subject = PoolTask | Sleeper
_Entry = tuple[float, int, Subject]


class Timers:
    """A heap of (time, subject). A timer whose subject no longer wants that time is void.

    A waiting task may have several timers and they are void once it has left its queue; anything else has one at most.
    """

    def __init__(self) -> None:
        self._heap: list[_Entry] = []
        self._sequence = 0
        self._compact_at = 1024

    def set(self, at: float, task: PoolTask) -> None:
        """Set a timer for a task; void once the task waits no longer."""
        self._push(at, task)

    def wake(self, sleeper: Sleeper, at: float) -> None:
        """Set the subject's one timer; an earlier one is void."""
        sleeper.wake_at = at
        self._push(at, sleeper)

    def wake_earlier(self, label: PoolLabel, at: float) -> None:
        """Set the label's timer unless it has one for an earlier time."""
        if not label.wake_at or at < label.wake_at:
            self.wake(label, at)

    def clear(self, sleeper: Sleeper) -> None:
        """Void the subject's timer."""
        sleeper.wake_at = 0.0

    def next(self) -> float | None:
        """Return the time of the first timer that counts."""
        heap = self._heap
        while heap:
            if _is_wanted(heap[0]):
                return heap[0][0]
            heappop(heap)
        return None

    def due(self, now: float) -> Subject | None:
        """Take out and return the first subject whose time has come, if any. Its timer is cleared."""
        at = self.next()
        if at is None or at > now:
            return None
        subject = heappop(self._heap)[2]
        if not isinstance(subject, Pending):
            subject.wake_at = 0.0
        return subject

    def _push(self, at: float, subject: Subject) -> None:
        self._sequence += 1
        heappush(self._heap, (at, self._sequence, subject))
        if len(self._heap) > self._compact_at:
            self._heap = [entry for entry in self._heap if _is_wanted(entry)]
            heapify(self._heap)
            self._compact_at = max(1024, 2 * len(self._heap))


def _is_wanted(entry: _Entry) -> bool:
    at, _, subject = entry
    if isinstance(subject, Pending):
        return subject.queued
    return subject.wake_at == at
