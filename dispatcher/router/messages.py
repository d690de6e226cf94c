"""Values that go into the router and come out of it. Times of events are seconds of one monotonic clock.

Types with an instance per task that cannot be in a reference cycle are left out of garbage collection (`gc=False`).
"""

import enum
from collections.abc import Mapping
from typing import Generic, TypeVar

import msgspec

Carried = TypeVar("Carried")
"""Type of what a task carries for the service that submitted it. The router hands it back and never looks at it."""


class Route(enum.Enum):
    """Way of a task to its worker; the values are those of the HTTP header `Labelbus-Route`."""

    HIT = "hit"
    """A free holder ran the task at once."""
    WAIT = "wait"
    """The task waited until a holder was free."""
    LOAD = "load"
    """The label was loaded, since no worker held it."""
    COPY = "copy"
    """The label was loaded on one more worker than held it."""
    ANY = "any"
    """The queue group chose the worker."""


class Reason(enum.Enum):
    """Reason for which a task is rejected."""

    NO_WORKER = "no_worker"
    QUEUE_FULL = "queue_full"
    DEADLINE = "deadline_passed"
    UNKNOWN_TASK_TYPE = "unknown_task_type"
    GAVE_UP = "gave_up"
    """The task was lost with too many workers, or may not be tried again."""


class TaskSpec(msgspec.Struct, Generic[Carried], frozen=True, kw_only=True):
    """A task as the router sees it.

    `deadline` is a time of the router's clock in seconds, None for no deadline. With `retry` false the task runs at
    most once. `item` is the service's own and comes back with every command.
    """

    task_id: str
    task_type: str
    label: str
    deadline: float | None = None
    retry: bool = True
    item: Carried


class WorkerView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Description that a worker gives of itself at (`epoch_ms`, `revision`); a view older than the last is ignored.

    None means that the view does not say: a registry entry has no `running` and no `places`, a state message no
    `task_types`, `pass_types` and `kind`. `load_ms` holds load times measured by any worker. `window` is the number of
    places beyond `slots`, of a worker whose loads take no slot.

    Up to `pass_tasks` tasks of one label and one of the `pass_types` share a run (a pass). `running` counts tasks,
    `places` what they take of slots and window; without passes each task takes one. Workers of one `kind` are alike in
    speed.
    """

    worker_id: str
    labels: tuple[str, ...]
    loading: tuple[str, ...] = ()
    running: int | None = 0
    slots: int = 1
    window: int = 0
    capacity: int = 1
    draining: bool = False
    pass_tasks: int = 1
    places: int | None = None
    task_types: tuple[str, ...] | None = None
    pass_types: tuple[str, ...] | None = None
    kind: str | None = None
    load_ms: Mapping[str, float] | None = None
    epoch_ms: int = 0
    revision: int = 0

    @property
    def places_taken(self) -> int | None:
        """Places of slots and window that are taken; None if the view does not say."""
        return self.running if self.pass_tasks <= 1 else self.places

    @property
    def is_full(self) -> bool:
        """True if the worker says that it has no place left."""
        taken = self.places_taken
        return taken is not None and taken >= self.slots + self.window


class WorkerUse(msgspec.Struct, frozen=True, kw_only=True):
    """Use of a worker as the router sees it, tasks of other dispatchers included.

    `running` is the number of places taken: of tasks, but tasks that share a run take one together. `labels` is the
    number of labels held, `loading` the number of those that are still being loaded.
    """

    worker_id: str
    slots: int
    capacity: int
    running: int
    labels: int
    loading: int
    draining: bool


class Outcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Result of an assignment. `retryable` marks a failure that another worker may not have.

    `run_ms` is the time of the run, which `pass_size` tasks shared, this one included.
    """

    ok: bool
    label_hit: bool
    load_ms: float
    run_ms: float
    pass_size: int = 1
    evicted_label: str = ""
    retryable: bool = False
    view: WorkerView | None = None
    worker_id: str = ""


class Assign(msgspec.Struct, Generic[Carried], frozen=True, kw_only=True):
    """Command to send the task to the worker, or to the queue group if `worker_id` is None.

    `assignment_id` is unique among the router's assignments and grows. `evict_label` is a proposal, empty when there is
    room. `expected_ms` is load and run time as estimated; `waited_ms` the time since the task was submitted.
    """

    assignment_id: int
    task: TaskSpec[Carried]
    attempt: int
    worker_id: str | None
    route: Route
    evict_label: str = ""
    expected_ms: float = 0.0
    waited_ms: float = 0.0


class Reject(msgspec.Struct, Generic[Carried], frozen=True, kw_only=True):
    """Command to answer the task with an error; `worker_ids` are the workers that the task was lost with."""

    task: TaskSpec[Carried]
    reason: Reason
    message: str
    retry_after_s: float = 0.0
    worker_ids: tuple[str, ...] = ()


Command = Assign[Carried] | Reject[Carried]


class Finished(msgspec.Struct, Generic[Carried], frozen=True, kw_only=True, gc=False):
    """Meaning of a result. The service answers the task only if `answer` is true.

    `assignment` is None for an assignment id that is no longer known: the task was given to another worker meanwhile.
    `requeued`: the failure is tried again. `cancelled`: the client went away.
    """

    commands: list[Command[Carried]]
    assignment: Assign[Carried] | None = None
    requeued: bool = False
    cancelled: bool = False

    @property
    def answer(self) -> bool:
        """True if the result is the task's answer."""
        return self.assignment is not None and not self.requeued and not self.cancelled
