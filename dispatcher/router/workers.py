"""A worker as the router knows it: what it holds, what it runs, and what it has room for."""

from typing import Any

from dispatcher.router.labels import Label, Pending
from dispatcher.router.messages import Assign, WorkerView


class Assignment:
    """A task sent to a worker (None: to the queue group) and not yet answered. `ends` is when it should be done."""

    __slots__ = ("aged", "command", "ends", "evicted", "label", "loads", "task", "worker")

    def __init__(
        self,
        command: Assign[Any],
        task: Pending,
        worker: "Worker | None",
        loads: bool,
        evicted: Label | None,
        ends: float,
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
    """One worker. `room` is the number of tasks it can take now for what it holds, `load_room` that of loads.

    Without a window they are the same: what its slots leave. With one, tasks are taken beyond the slots, and a load
    takes none of them: so many labels may be on their way while the slots are at work.
    """

    __slots__ = (
        "capacity",
        "counted",
        "draining",
        "epoch_ms",
        "foreign",
        "foreign_loads",
        "free_at",
        "idle_index",
        "labels",
        "load_at",
        "load_room",
        "loading",
        "look_at",
        "look_delay",
        "own",
        "own_loads",
        "pause_s",
        "paused",
        "revision",
        "room",
        "slots",
        "synced",
        "task_types",
        "turn_at",
        "view",
        "window",
        "worker_id",
        "yielding",
    )

    def __init__(self, worker_id: str, view: WorkerView) -> None:
        self.worker_id = worker_id
        self.view = view
        self.epoch_ms = self.revision = -1
        self.labels: dict[Label, None] = {}
        # Labels sent to it to load, with the time at which they should be ready.
        self.loading: dict[Label, float] = {}
        self.own: dict[int, Assignment] = {}
        self.own_loads = 0
        # Tasks of other dispatchers, and those of them that load.
        self.foreign = 0
        self.foreign_loads = 0
        self.slots = 1
        self.window = 0
        self.capacity = 1
        self.room = 0
        self.load_room = 0
        self.draining = False
        self.paused = False
        self.pause_s = 0.0
        self.look_at = 0.0
        self.look_delay = 0.0
        self.free_at = 0.0
        # Not to be given a load before.
        self.load_at = 0.0
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
        """Work `room` and `load_room` out anew."""
        if self.draining or self.paused:
            self.room = self.load_room = 0
            return
        left = self.slots - len(self.own) - self.foreign
        if not self.window:
            self.room = self.load_room = left
            return
        loads = self.foreign_loads + self.own_loads
        taken_ahead = left + self.window
        self.room = min(left + loads, taken_ahead)
        self.load_room = min(self.window - loads, taken_ahead)

    def runs(self, task_type: str) -> bool:
        """True if it knows the task type, or has not said which it knows."""
        return self.task_types is None or task_type in self.task_types
