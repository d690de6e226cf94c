"""The messages of the bus as frozen structs. `bus.codec` turns them to and from protobuf bytes."""

import enum
from typing import Literal

import msgspec


class Status(enum.IntEnum):
    """The outcome of a task at a worker; the numbers are those of labelbus.v1.Status."""

    OK = 1
    FAILED = 2
    BUSY = 3


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of work for a worker that holds, or loads, `label`.

    `route`, `waited_ms` and `expected_ms` are for the worker's log: why the task comes to this worker, how long it
    waited in the dispatcher, and the load and run time that the dispatcher expects.
    """

    task_id: str
    task_type: str
    label: str
    parameters: bytes
    deadline_ms: int = 0
    attempt: int = 1
    evict_label: str = ""
    sent_ms: int = 0
    route: str = ""
    waited_ms: float = 0.0
    expected_ms: float = 0.0


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """The labels and the load of a worker, as of `revision` of the process that began at `epoch_ms`.

    `outstanding` is present only in the answer to a ping: the reply tokens of the asker's tasks that the worker has.
    Up to `pass_tasks` tasks of one label share a run (a pass). `running` counts tasks, `passes` what they take of slots
    and window: those of one label that will share a run take one place together. Without passes `passes` is 0.
    """

    worker_id: str
    epoch_ms: int = 0
    revision: int = 0
    labels: tuple[str, ...] = ()
    loading: tuple[str, ...] = ()
    running: int = 0
    slots: int = 1
    window: int = 0
    capacity: int = 1
    draining: bool = False
    outstanding: tuple[str, ...] | None = None
    pass_tasks: int = 1
    passes: int = 0


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's answer to a task. Times are milliseconds; `output` is JSON bytes when `status` is OK.

    `pass_size` is the number of tasks that shared the run, this one included.
    """

    task_id: str
    worker_id: str
    status: Status
    output: bytes = b""
    error_code: str = ""
    error_message: str = ""
    label_hit: bool = False
    queue_ms: float = 0.0
    load_ms: float = 0.0
    run_ms: float = 0.0
    evicted_label: str = ""
    state: WorkerState | None = None
    attempt: int = 1
    pass_size: int = 1


class ConvertRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to convert a SentenceTransformer into an entry of the model repository."""

    model_id: str
    max_batch_size: int = 0
    overwrite: bool = False


class ConvertReply(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a conversion; an empty `error_code` means that the entry is published."""

    model_name: str
    message: str = ""
    error_code: str = ""
    seconds: float = 0.0


class ConvertProgress(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a conversion, as JSON on `lb.event.convert.<model>`; `fraction` is 0 to 1."""

    model_id: str
    model_name: str
    stage: str
    fraction: float
    message: str = ""


class HeldLabel(msgspec.Struct, frozen=True, kw_only=True):
    """One label in a worker's registry entry: the time its load took, and when it was loaded (RFC 3339, UTC)."""

    load_ms: float
    since: str


class WorkerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's value in the KV bucket: JSON that a person can read.

    Written when something changes and as a heartbeat, at least every `heartbeat_s`; 0 says that the writer does not
    tell. `epoch_ms` and `revision` order it among the `WorkerState`s of the same worker. Tasks of one label and one of
    the `pass_types` share runs, up to `pass_tasks` of them. Workers of one `kind` are alike in speed.
    """

    worker_id: str
    state: Literal["ready", "draining"] = "ready"
    labels: dict[str, HeldLabel] = {}
    capacity: int = 1
    slots: int = 1
    window: int = 0
    pass_tasks: int = 1
    task_types: tuple[str, ...] = ()
    pass_types: tuple[str, ...] = ()
    runtime: str = ""
    kind: str = ""
    version: str = ""
    epoch_ms: int = 0
    revision: int = 0
    heartbeat_s: float = 0.0


class LogRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One log record: an event with bound fields, as JSON on `lb.log.<component>.<id>` and in the sink's files.

    `time` is RFC 3339 in UTC with microseconds.
    """

    time: str
    level: str
    component: str
    id: str
    event: str
    fields: dict[str, object] = {}
    error: str = ""
