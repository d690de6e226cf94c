"""A worker as the router knows it, and the pool with its index of workers that have a free slot."""

import random
from collections.abc import Iterator

from dispatcher.router.labels import Label, Pending
from dispatcher.router.model import Assign, WorkerView


class Assignment:
    """A task sent to a worker (None: to the queue group) and not yet answered. `ends` is when it should be done."""

    __slots__ = ("aged", "command", "ends", "evicted", "label", "loads", "task", "worker")

    def __init__(
        self, command: Assign, task: Pending, worker: "Worker | None", loads: bool, evicted: Label | None, ends: float
    ) -> None:
        self.command = command
        self.task = task
        self.label = task.label
        self.worker = worker
        self.loads = loads
        self.evicted = evicted
        self.ends = ends
        self.aged = False


class Worker:
    """One worker. `room` is the number of tasks it can take now: what its slots leave, 0 while it is not to be used."""

    __slots__ = (
        "capacity",
        "counted",
        "draining",
        "foreign",
        "free_at",
        "idle_index",
        "labels",
        "loading",
        "look_at",
        "look_delay",
        "order",
        "own",
        "pause_s",
        "paused",
        "room",
        "slots",
        "synced",
        "task_types",
        "turn_at",
        "view",
        "worker_id",
        "yielding",
    )

    def __init__(self, worker_id: str, view: WorkerView) -> None:
        self.worker_id = worker_id
        self.view = view
        self.order = (-1, -1)
        self.labels: dict[Label, None] = {}
        # Labels sent to it to load, with the time at which they should be ready.
        self.loading: dict[Label, float] = {}
        self.own: dict[int, Assignment] = {}
        self.foreign = 0
        self.slots = 1
        self.capacity = 1
        self.room = 0
        self.draining = False
        self.paused = False
        self.pause_s = 0.0
        self.look_at = 0.0
        self.look_delay = 0.0
        self.free_at = 0.0
        self.task_types: frozenset[str] | None = None
        self.idle_index = -1
        self.counted = (0, 0)
        # Since when it has had tasks of this dispatcher without a break, and whether it is left to others just now.
        self.turn_at = 0.0
        self.yielding = False
        # The labels of the last view, while nothing has been sent that changes them: most answers change nothing.
        self.synced: tuple[str, ...] | None = None

    @property
    def usable(self) -> bool:
        """True if it takes tasks at all."""
        return not (self.draining or self.paused)

    def recount(self) -> None:
        """Work `room` out anew."""
        self.room = 0 if self.draining or self.paused else self.slots - len(self.own) - self.foreign

    def runs(self, task_type: str) -> bool:
        """True if it knows the task type, or has not said which it knows."""
        return self.task_types is None or task_type in self.task_types


class Pool:
    """All known workers, those with a free slot in an index that a sample is drawn from in constant time."""

    def __init__(self, rng: random.Random) -> None:
        self._by_id: dict[str, Worker] = {}
        self._idle: list[Worker] = []
        self._random = rng.random
        self._type_sets: dict[frozenset[str] | None, int] = {}
        self.live = 0
        """Workers that are not draining."""
        self.slots = 0
        """Slots of the workers that are not draining."""
        self.foreign = 0
        """Tasks of others that are thought to be in these slots."""
        self.mix_changed = False
        """Set when a set of task types comes to the pool or leaves it; whoever acts on it resets it."""

    def __iter__(self) -> Iterator[Worker]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, worker_id: str) -> Worker | None:
        """The worker, if it is known."""
        return self._by_id.get(worker_id)

    def add(self, worker: Worker) -> None:
        """A new worker, which is live and of unknown task types."""
        self._by_id[worker.worker_id] = worker
        self._count_types(worker.task_types, 1)
        self.live += 1

    def remove(self, worker: Worker) -> None:
        """It is gone."""
        del self._by_id[worker.worker_id]
        if not worker.draining:
            self.live -= 1
            self._count_types(worker.task_types, -1)
        self._count_slots(worker, 0, 0)
        self.set_busy(worker)

    def recount(self, worker: Worker) -> None:
        """The worker's slots, or what others run in them, have changed."""
        if worker.draining:
            self._count_slots(worker, 0, 0)
        else:
            self._count_slots(worker, worker.slots, worker.foreign)

    def _count_slots(self, worker: Worker, slots: int, foreign: int) -> None:
        self.slots += slots - worker.counted[0]
        self.foreign += foreign - worker.counted[1]
        worker.counted = (slots, foreign)

    def set_draining(self, worker: Worker, draining: bool) -> None:
        """A draining worker ends what it has and takes nothing new."""
        if worker.draining != draining:
            worker.draining = draining
            by = -1 if draining else 1
            self.live += by
            self._count_types(worker.task_types, by)

    def set_types(self, worker: Worker, types: frozenset[str]) -> None:
        """What the worker can run."""
        if worker.task_types != types:
            if not worker.draining:
                self._count_types(types, 1)
                self._count_types(worker.task_types, -1)
            worker.task_types = types

    def _count_types(self, types: frozenset[str] | None, by: int) -> None:
        count = self._type_sets.get(types, 0) + by
        if count:
            self.mix_changed |= types not in self._type_sets
            self._type_sets[types] = count
        else:
            self.mix_changed = True
            del self._type_sets[types]

    def all_run(self, task_type: str) -> bool:
        """True if no worker is known to lack the type. There are as many steps as distinct sets of types."""
        return all(types is None or task_type in types for types in self._type_sets)

    def none_runs(self, task_type: str) -> bool:
        """True if there are workers, all have told their types, and none has this one."""
        return bool(self._type_sets) and not any(types is None or task_type in types for types in self._type_sets)

    @property
    def idle(self) -> int:
        """The number of workers with a free slot."""
        return len(self._idle)

    def idle_workers(self) -> list[Worker]:
        """All workers with a free slot."""
        return self._idle[:]

    def set_idle(self, worker: Worker) -> None:
        """Put it into the index."""
        if worker.idle_index < 0:
            worker.idle_index = len(self._idle)
            self._idle.append(worker)

    def set_busy(self, worker: Worker) -> None:
        """Take it out of the index."""
        index = worker.idle_index
        if index >= 0:
            last = self._idle.pop()
            if last is not worker:
                self._idle[index] = last
                last.idle_index = index
            worker.idle_index = -1

    def sample(self, at_most: int) -> list[Worker]:
        """Some workers with a free slot, all of them if there are few; may name one twice if there are many."""
        idle = self._idle
        count = len(idle)
        if count <= at_most:
            return idle[:]
        draw = self._random
        return [idle[int(draw() * count)] for _ in range(at_most)]
