"""What goes into the router and what comes out. Times of events are seconds of one monotonic clock.

What is made once a task, and can be in no cycle, is left out of garbage collection (`gc=False`).
"""

import enum
from collections.abc import Mapping
from typing import Generic, TypeVar

import msgspec

Carried = TypeVar("Carried")
"""Type of what a task carries for the service that submitted it. The router hands it back and never looks at it."""


class Route(enum.Enum):
    """How a task came to its worker; the values are those of the HTTP header `Labelbus-Route`."""

    HIT = "hit"
    """A free holder ran it at once."""
    WAIT = "wait"
    """It waited until a holder was free."""
    LOAD = "load"
    """Nobody held its label."""
    COPY = "copy"
    """Others held its label; it was loaded once more."""
    ANY = "any"
    """The queue group chose the worker."""


class Reason(enum.Enum):
    """Why a task is given back without an answer."""

    NO_WORKER = "no_worker"
    QUEUE_FULL = "queue_full"
    DEADLINE = "deadline_passed"
    UNKNOWN_TASK_TYPE = "unknown_task_type"
    GAVE_UP = "gave_up"
    """It lost too many workers, or may not be tried again."""


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
    """A worker as it describes itself at (`epoch_ms`, `revision`); an older view than the last is ignored.

    `running` None and `task_types` None leave what is known of them as it is: a registry entry does not say
    what runs, nor a state message which types there are. `load_ms` holds load times measured by anybody. `window` is
    the number of tasks taken beyond `slots`, by a worker whose loads take no slot.
    """

    worker_id: str
    labels: tuple[str, ...]
    loading: tuple[str, ...] = ()
    running: int | None = 0
    slots: int = 1
    window: int = 0
    capacity: int = 1
    draining: bool = False
    task_types: tuple[str, ...] | None = None
    load_ms: Mapping[str, float] | None = None
    epoch_ms: int = 0
    revision: int = 0


class WorkerUse(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker is used as the router sees it, tasks of other dispatchers included.

    `labels` and `loading` are numbers of labels, those that load being among those that are held.
    """

    worker_id: str
    slots: int
    capacity: int
    running: int
    labels: int
    loading: int
    draining: bool


class Outcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A worker's answer to an assignment. `retryable` is for failures that another worker may not have."""

    ok: bool
    label_hit: bool
    load_ms: float
    run_ms: float
    evicted_label: str = ""
    retryable: bool = False
    view: WorkerView | None = None
    worker_id: str = ""


class Assign(msgspec.Struct, Generic[Carried], frozen=True, kw_only=True):
    """A command to send the task to the worker, or to the queue group when `worker_id` is None.

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
    """A command to answer the task with an error; `worker_ids` are the workers that were lost while they had it."""

    task: TaskSpec[Carried]
    reason: Reason
    message: str
    retry_after_s: float = 0.0
    worker_ids: tuple[str, ...] = ()


Command = Assign[Carried] | Reject[Carried]


class Finished(msgspec.Struct, Generic[Carried], frozen=True, kw_only=True, gc=False):
    """What a result meant. The service answers the task only if `answer` is true.

    `assignment` is None for an assignment id that is no longer known: the task went on without this worker.
    `requeued`: the failure is tried again. `cancelled`: nobody waits for it any more.
    """

    commands: list[Command[Carried]]
    assignment: Assign[Carried] | None = None
    requeued: bool = False
    cancelled: bool = False

    @property
    def answer(self) -> bool:
        """True if the result is the task's answer."""
        return self.assignment is not None and not self.requeued and not self.cancelled
