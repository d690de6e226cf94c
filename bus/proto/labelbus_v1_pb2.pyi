from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATUS_UNSPECIFIED: _ClassVar[Status]
    STATUS_OK: _ClassVar[Status]
    STATUS_FAILED: _ClassVar[Status]
    STATUS_BUSY: _ClassVar[Status]
STATUS_UNSPECIFIED: Status
STATUS_OK: Status
STATUS_FAILED: Status
STATUS_BUSY: Status

class Task(_message.Message):
    __slots__ = ("task_id", "task_type", "label", "parameters", "deadline_ms", "attempt", "evict_label", "sent_ms", "route", "waited_ms", "expected_ms")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_TYPE_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    EVICT_LABEL_FIELD_NUMBER: _ClassVar[int]
    SENT_MS_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    WAITED_MS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_MS_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    task_type: str
    label: str
    parameters: bytes
    deadline_ms: int
    attempt: int
    evict_label: str
    sent_ms: int
    route: str
    waited_ms: float
    expected_ms: float
    def __init__(self, task_id: _Optional[str] = ..., task_type: _Optional[str] = ..., label: _Optional[str] = ..., parameters: _Optional[bytes] = ..., deadline_ms: _Optional[int] = ..., attempt: _Optional[int] = ..., evict_label: _Optional[str] = ..., sent_ms: _Optional[int] = ..., route: _Optional[str] = ..., waited_ms: _Optional[float] = ..., expected_ms: _Optional[float] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("task_id", "worker_id", "status", "output", "error_code", "error_message", "label_hit", "queue_ms", "load_ms", "run_ms", "evicted_label", "state", "attempt", "pass_size")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    LABEL_HIT_FIELD_NUMBER: _ClassVar[int]
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    LOAD_MS_FIELD_NUMBER: _ClassVar[int]
    RUN_MS_FIELD_NUMBER: _ClassVar[int]
    EVICTED_LABEL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    PASS_SIZE_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    worker_id: str
    status: Status
    output: bytes
    error_code: str
    error_message: str
    label_hit: bool
    queue_ms: float
    load_ms: float
    run_ms: float
    evicted_label: str
    state: WorkerState
    attempt: int
    pass_size: int
    def __init__(self, task_id: _Optional[str] = ..., worker_id: _Optional[str] = ..., status: _Optional[_Union[Status, str]] = ..., output: _Optional[bytes] = ..., error_code: _Optional[str] = ..., error_message: _Optional[str] = ..., label_hit: _Optional[bool] = ..., queue_ms: _Optional[float] = ..., load_ms: _Optional[float] = ..., run_ms: _Optional[float] = ..., evicted_label: _Optional[str] = ..., state: _Optional[_Union[WorkerState, _Mapping]] = ..., attempt: _Optional[int] = ..., pass_size: _Optional[int] = ...) -> None: ...

class WorkerState(_message.Message):
    __slots__ = ("worker_id", "epoch_ms", "revision", "labels", "loading", "running", "slots", "capacity", "draining", "outstanding", "window", "pass_tasks", "passes")
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_MS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    LOADING_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    OUTSTANDING_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    PASS_TASKS_FIELD_NUMBER: _ClassVar[int]
    PASSES_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    epoch_ms: int
    revision: int
    labels: _containers.RepeatedScalarFieldContainer[str]
    loading: _containers.RepeatedScalarFieldContainer[str]
    running: int
    slots: int
    capacity: int
    draining: bool
    outstanding: Outstanding
    window: int
    pass_tasks: int
    passes: int
    def __init__(self, worker_id: _Optional[str] = ..., epoch_ms: _Optional[int] = ..., revision: _Optional[int] = ..., labels: _Optional[_Iterable[str]] = ..., loading: _Optional[_Iterable[str]] = ..., running: _Optional[int] = ..., slots: _Optional[int] = ..., capacity: _Optional[int] = ..., draining: _Optional[bool] = ..., outstanding: _Optional[_Union[Outstanding, _Mapping]] = ..., window: _Optional[int] = ..., pass_tasks: _Optional[int] = ..., passes: _Optional[int] = ...) -> None: ...

class Outstanding(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, tokens: _Optional[_Iterable[str]] = ...) -> None: ...

class ConvertRequest(_message.Message):
    __slots__ = ("model_id", "max_batch_size", "overwrite")
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    OVERWRITE_FIELD_NUMBER: _ClassVar[int]
    model_id: str
    max_batch_size: int
    overwrite: bool
    def __init__(self, model_id: _Optional[str] = ..., max_batch_size: _Optional[int] = ..., overwrite: _Optional[bool] = ...) -> None: ...

class ConvertReply(_message.Message):
    __slots__ = ("model_name", "message", "error_code", "seconds")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    message: str
    error_code: str
    seconds: float
    def __init__(self, model_name: _Optional[str] = ..., message: _Optional[str] = ..., error_code: _Optional[str] = ..., seconds: _Optional[float] = ...) -> None: ...
