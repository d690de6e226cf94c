"""All known workers, the task types they run, and an index of those with a free slot."""

import random
from collections.abc import Iterator
from typing import Final

from dispatcher.router.state.workers import Worker

_TYPES_REMEMBERED: Final = 1000
"""Answers remembered about task types: callers can invent any number of types, workers cannot."""


class Pool:
    """All known workers; those with a free slot are in an index that a sample is drawn from in constant time."""

    def __init__(self, rng: random.Random) -> None:
        self._by_id: dict[str, Worker] = {}
        self._idle: list[Worker] = []
        self._random = rng.random
        self._type_sets: dict[frozenset[str] | None, int] = {}
        self._run_by_all: dict[str, bool] = {}
        self.live = 0
        """Workers that are not draining."""
        self.slots = 0
        """Slots of the workers that are not draining."""
        self.foreign = 0
        """Tasks of other dispatchers believed to be in these slots."""
        self.mix_changed = False
        """True since a set of task types came to the pool or left it, until `accept_mix` is called."""

    def __iter__(self) -> Iterator[Worker]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, worker_id: str) -> Worker | None:
        """Return the worker if it is known."""
        return self._by_id.get(worker_id)

    def add(self, worker: Worker) -> None:
        """Add a new worker; it is live and its task types are unknown."""
        self._by_id[worker.worker_id] = worker
        self._count_types(worker.task_types, 1)
        self.live += 1

    def remove(self, worker: Worker) -> None:
        """Remove a worker."""
        del self._by_id[worker.worker_id]
        if not worker.draining:
            self.live -= 1
            self._count_types(worker.task_types, -1)
        self._count_slots(worker, 0, 0)
        self.set_busy(worker)

    def recount(self, worker: Worker) -> None:
        """Count the worker's slots, and what others run in them, again."""
        if worker.draining:
            self._count_slots(worker, 0, 0)
        else:
            self._count_slots(worker, worker.slots, worker.foreign)

    def _count_slots(self, worker: Worker, slots: int, foreign: int) -> None:
        self.slots += slots - worker.counted_slots[0]
        self.foreign += foreign - worker.counted_slots[1]
        worker.counted_slots = (slots, foreign)

    def set_draining(self, worker: Worker, draining: bool) -> None:
        """Mark a worker as draining (it finishes what it has and takes nothing new), or as live again."""
        if worker.draining != draining:
            worker.draining = draining
            by = -1 if draining else 1
            self.live += by
            self._count_types(worker.task_types, by)

    def set_types(self, worker: Worker, types: frozenset[str]) -> None:
        """Set the task types that the worker runs."""
        if worker.task_types != types:
            if not worker.draining:
                self._count_types(types, 1)
                self._count_types(worker.task_types, -1)
            worker.task_types = types

    def _count_types(self, types: frozenset[str] | None, by: int) -> None:
        self._run_by_all.clear()
        count = self._type_sets.get(types, 0) + by
        if count:
            self.mix_changed |= types not in self._type_sets
            self._type_sets[types] = count
        else:
            self.mix_changed = True
            del self._type_sets[types]

    def all_run(self, task_type: str) -> bool:
        """Return True if no worker is known to lack the type."""
        known = self._run_by_all.get(task_type)
        if known is None:
            if len(self._run_by_all) >= _TYPES_REMEMBERED:
                self._run_by_all.clear()
            known = all(types is None or task_type in types for types in self._type_sets)
            self._run_by_all[task_type] = known
        return known

    def none_runs(self, task_type: str) -> bool:
        """Return True if there are workers, all have told their types, and none has this one.

        Takes as many steps as there are distinct sets of types.
        """
        return bool(self._type_sets) and not any(types is None or task_type in types for types in self._type_sets)

    def is_for_queue_group(self, task_type: str) -> bool:
        """Return True if no known worker can take a task of the type, so that only the queue group might."""
        return not self.live or self.none_runs(task_type)

    def has_other_runner(self, task_type: str, lost: tuple[str, ...]) -> bool:
        """Return True if a live worker that is not broken and not among `lost` runs the type.

        Takes as many steps as there are workers.
        """
        return any(
            not (worker.draining or worker.broken) and worker.worker_id not in lost and worker.runs(task_type)
            for worker in self._by_id.values()
        )

    def accept_mix(self) -> None:
        """Reset `mix_changed`: the waiting tasks were sorted by the task types that workers run now."""
        self.mix_changed = False

    @property
    def idle(self) -> int:
        """Number of workers with a free slot."""
        return len(self._idle)

    def idle_workers(self) -> list[Worker]:
        """Return all workers with a free slot."""
        return self._idle[:]

    def set_idle(self, worker: Worker) -> None:
        """Put a worker into the index of those with a free slot."""
        if worker.idle_index < 0:
            worker.idle_index = len(self._idle)
            self._idle.append(worker)

    def set_busy(self, worker: Worker) -> None:
        """Take a worker out of the index of those with a free slot."""
        index = worker.idle_index
        if index >= 0:
            last = self._idle.pop()
            if last is not worker:
                self._idle[index] = last
                last.idle_index = index
            worker.idle_index = -1

    def sample(self, at_most: int) -> list[Worker]:
        """Return some workers with a free slot: all of them if there are few; one may occur twice if there are many."""
        idle = self._idle
        count = len(idle)
        if count <= at_most:
            return idle[:]
        draw = self._random
        return [idle[int(draw() * count)] for _ in range(at_most)]
