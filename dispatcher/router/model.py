"""What goes into the router and what comes out. Times of events are seconds of one monotonic clock.

What is made once a task, and can be in no cycle, is left out of garbage collection (`gc=False`).
"""

import enum
from collections.abc import Mapping

import msgspec


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


class TaskSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A task as the router sees it. `deadline` is on the router's clock; `item` is the service's own."""

    task_id: str
    task_type: str
    label: str
    deadline: float | None = None
    retry: bool = True
    item: object = None


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
    error_code: str = ""
    view: WorkerView | None = None
    worker_id: str = ""


class Assign(msgspec.Struct, frozen=True, kw_only=True):
    """Send the task to the worker, or to the queue group when `worker_id` is None.

    `token` is unique among the router's assignments. `evict_label` is a proposal, empty when there is room.
    `expected_ms` is load and run time as estimated; `waited_ms` the time since the task was submitted.
    """

    token: int
    task: TaskSpec
    attempt: int
    worker_id: str | None
    route: Route
    evict_label: str = ""
    expected_ms: float = 0.0
    waited_ms: float = 0.0


class Reject(msgspec.Struct, frozen=True, kw_only=True):
    """Answer the task with an error; `worker_ids` are the workers that it lost."""

    task: TaskSpec
    reason: Reason
    message: str
    retry_after_s: float = 0.0
    worker_ids: tuple[str, ...] = ()


Command = Assign | Reject


class Finished(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a result meant. The service answers the task only if `answer` is true.

    `assignment` is None for a token that is no longer known: the task went on without this worker.
    `requeued`: the failure is tried again. `cancelled`: nobody waits for it any more.
    """

    commands: list[Command]
    assignment: Assign | None = None
    requeued: bool = False
    cancelled: bool = False

    @property
    def answer(self) -> bool:
        """True if the result is the task's answer."""
        return self.assignment is not None and not self.requeued and not self.cancelled
