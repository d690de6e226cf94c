"""Workers as the router knows them: labels, assignments, and room for more."""

from typing import Any, TypeAlias

from dispatcher.router.messages import Assign, WorkerView
from dispatcher.router.state.labels import Label, Pending


class Assignment:
    """A task sent to a worker (None: to the queue group) and not answered yet. `ends_at` is its expected end.

    `is_load`: the worker has to load the label. `by_aging`: the load went before hits, since it had waited too long.
    `shares`: the task may share a run with others of its label.
    """

    __slots__ = ("by_aging", "command", "ends_at", "evicted", "is_load", "label", "shares", "task", "worker")

    def __init__(
        self,
        command: Assign[Any],
        task: "PoolTask",
        worker: "Worker | None",
        is_load: bool,
        evicted: "PoolLabel | None",
        ends_at: float,
    ) -> None:
        self.command = command
        self.task = task
        self.label = task.label
        self.worker = worker
        self.is_load = is_load
        self.evicted = evicted
        self.ends_at = ends_at
        self.by_aging = False
        self.shares = False


class Worker:
    """One worker. Each field is written by one owner, named in `__init__`; everything may read all of them.

    `places` counts the places of slots and window that its assignments take: one each, but those of a label that share
    runs take one together (`Gathering`). `room` is the number of places that are free for tasks of labels it holds,
    `load_room` that for loads. Without a window they are the same: its free slots. With one, tasks are taken beyond the
    slots, and a load takes no slot: so many labels may be loading while the slots are at work.
    """

    __slots__ = (
        "assigned_loads",
        "assignments",
        "broken",
        "broken_pause_s",
        "capacity",
        "counted_slots",
        "draining",
        "ends",
        "epoch_ms",
        "false_bounces",
        "false_bounces_since",
        "foreign",
        "foreign_loads",
        "free_at",
        "idle_index",
        "kind",
        "labels",
        "load_not_before",
        "load_room",
        "loading",
        "open_passes",
        "pass_tasks",
        "pass_types",
        "pause_s",
        "paused",
        "places",
        "retry_delay_s",
        "revision",
        "room",
        "slice_since",
        "slots",
        "synced_labels",
        "task_types",
        "view",
        "wake_at",
        "window",
        "worker_id",
        "yielding",
    )

    def __init__(self, worker_id: str, view: WorkerView) -> None:
        self.worker_id = worker_id

        # RouterState: what it holds and runs.
        self.labels: dict[PoolLabel, None] = {}
        # Labels sent to it to load, with the time at which they should be ready.
        self.loading: dict[PoolLabel, float] = {}
        self.assignments: dict[int, Assignment] = {}
        self.places = 0
        # Assignments that have ended.
        self.ends = 0
        # Labels of which one more task would take no further place.
        self.open_passes = 0
        self.assigned_loads = 0
        # The labels of the last view, while nothing has been sent that changes them: most answers change nothing.
        self.synced_labels: tuple[str, ...] | None = None
        self.free_at = 0.0

        # This class, from the other fields.
        self.room = 0
        self.load_room = 0

        # Pool
        self.draining = False
        self.task_types: frozenset[str] | None = None
        self.idle_index = -1
        self.counted_slots = (0, 0)

        # Timers: the time of the timer that counts, 0 for none.
        self.wake_at = 0.0

        # reconcile: what it says of itself.
        self.view = view
        self.epoch_ms = self.revision = -1
        self.slots = 1
        self.window = 0
        self.capacity = 1
        self.pass_tasks = 1
        self.pass_types: frozenset[str] = frozenset()
        self.kind = ""

        # Contention: tasks of other dispatchers, and those of them that load.
        self.foreign = 0
        self.foreign_loads = 0
        # Since when it has had tasks of this dispatcher without a break, and whether it is left to others at present.
        self.slice_since = 0.0
        self.yielding = False
        self.load_not_before = 0.0
        self.retry_delay_s = 0.0

        # Health
        self.paused = False
        self.pause_s = 0.0
        self.broken = False
        self.broken_pause_s = 0.0
        self.false_bounces = 0
        self.false_bounces_since = 0.0

    @property
    def usable(self) -> bool:
        """True if it takes tasks at all."""
        return not (self.draining or self.paused)

    def recount(self) -> None:
        """Compute `room` and `load_room` again."""
        if self.draining or self.paused:
            self.room = self.load_room = 0
            return
        left = self.slots - self.places - self.foreign
        if not self.window:
            self.room = self.load_room = left
            return
        loads = self.foreign_loads + self.assigned_loads
        taken_ahead = left + self.window
        self.room = min(left + loads, taken_ahead)
        self.load_room = taken_ahead

    def count_places(self, more: int) -> None:
        """Update `room` and `load_room` after `more` places were taken; cheaper than `recount` without a window."""
        if self.window:
            self.recount()
        else:
            self.room = self.load_room = self.room - more

    def shares(self, task: "PoolTask") -> bool:
        """Return True if the task may share a run with others of its label: one that was tried before runs alone."""
        return self.pass_tasks > 1 and task.attempt == 1 and task.spec.task_type in self.pass_types

    def runs(self, task_type: str) -> bool:
        """Return True if it knows the task type, or has not said which it knows."""
        return self.task_types is None or task_type in self.task_types


PoolLabel: TypeAlias = Label[Worker]
"""A label as the router's pool holds it."""

PoolTask: TypeAlias = Pending[Worker]
"""A task that has no answer yet, for a label of the router's pool."""
