"""Admission of tasks to a worker: plain code, no I/O and no clock.

A task is *taken* until it is answered. Tasks take *places*, of which there are `slots` + `window`: a task that does not
share passes takes one, and of those of one label that do, `tasks_per_place` take one together. So while one pass of a
label runs, the next one gathers. A worker that drains takes none.
"""

from typing import Final


class _Shared:
    """The tasks of one label that share passes, and the places that they take."""

    __slots__ = ("places", "tasks")

    def __init__(self) -> None:
        self.tasks = 0
        self.places = 0


class Admission:
    """Counts the tasks that a worker has taken, and the places that they take.

    `label` is that of a task that shares passes, None for one that does not. `per_place` is how many tasks of the label
    take one place together, by what is known now (`PassLaws.tasks_per_place`). Attributes are for reading only, and no
    properties since each task asks several times.
    """

    def __init__(self, *, slots: int, window: int) -> None:
        self.slots: Final = slots
        self.window: Final = window
        self.taken = 0
        """Tasks taken and not answered."""
        self.places = 0
        """Places that these take; over `slots` + `window` if fewer tasks than thought share a pass."""
        self.is_full = False
        """True while as many places are taken as there are slots: then the worker asks for no more."""
        self.draining = False
        self._shared: dict[str, _Shared] = {}

    def has_room(self, label: str | None = None, per_place: int = 1) -> bool:
        """Return whether one more task may be taken: a place is free, or the task takes no further one."""
        if self.draining:
            return False
        if self.places < self.slots + self.window:
            return True
        shared = None if label is None else self._shared.get(label)
        return shared is not None and shared.tasks % per_place != 0

    def take(self, label: str | None = None, per_place: int = 1) -> None:
        """Count one more task."""
        self._count(1, label, per_place)

    def answered(self, label: str | None = None, per_place: int = 1) -> None:
        """Count one task less: its result is known."""
        assert self.taken > 0
        self._count(-1, label, per_place)

    def drain(self) -> None:
        """Take no more tasks."""
        self.draining = True

    def _count(self, change: int, label: str | None, per_place: int) -> None:
        self.taken += change
        if label is None:
            self.places += change
        else:
            shared = self._shared.get(label)
            if shared is None:
                shared = self._shared[label] = _Shared()
            shared.tasks += change
            places = -(-shared.tasks // per_place)
            self.places += places - shared.places
            shared.places = places
            if not shared.tasks:
                del self._shared[label]
        self.is_full = self.places >= self.slots
