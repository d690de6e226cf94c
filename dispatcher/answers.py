"""Requests of the gateway to the service, and the answers to them."""

from typing import Any, Final

import msgspec

from bus import errors
from bus.errors import LabelbusError, OverloadedError, WorkerError
from dispatcher.router import Reason, Reject

RETRYABLE_CODES: Final = frozenset({errors.RuntimeUnavailableError.code})
"""Codes of failures that are the worker's and not the task's: another worker may run the task."""


class TaskRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A checked task: names in normal form, parameters valid JSON. `deadline_ms` is Unix time, 0 for no deadline."""

    task_id: str
    task_type: str
    label: str
    parameters: bytes
    deadline_ms: int = 0
    retry: bool = True
    traceparent: str = ""


class TaskAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a task: `output` (JSON) or `error`. Times are milliseconds, 0 for steps that the task did not reach.

    `queue_ms` is the time in the dispatcher's queue and in the worker's; `expected_ms` the router's estimate of load
    and run time. `pass_size` is the number of tasks that shared the run.
    """

    task_id: str
    output: bytes = b""
    error: LabelbusError | None = None
    worker_id: str = ""
    route: str = ""
    queue_ms: float = 0.0
    load_ms: float = 0.0
    run_ms: float = 0.0
    expected_ms: float = 0.0
    evicted_label: str = ""
    attempt: int = 0
    pass_size: int = 1


def error_of(code: str, message: str) -> LabelbusError:
    """Return the error that a worker reported, of its own class; a code that is unknown here gives a `WorkerError`."""
    kind = _CLASSES.get(code, WorkerError)
    if kind is LabelbusError:  # a handler raised the root itself: a fault of the worker, not of the dispatcher
        kind = WorkerError
    return OverloadedError(message, retry_after_s=1.0) if kind is OverloadedError else kind(message)


def error_of_reject(reject: Reject[Any]) -> LabelbusError:
    """Return the router's refusal as an error."""
    match reject.reason:
        case Reason.NO_WORKER:
            return errors.NoWorkerError(reject.message)
        case Reason.QUEUE_FULL:
            return OverloadedError(reject.message, retry_after_s=reject.retry_after_s)
        case Reason.DEADLINE:
            return errors.DeadlineError(reject.message)
        case Reason.UNKNOWN_TASK_TYPE:
            return errors.UnknownTaskTypeError(reject.message)
        case Reason.GAVE_UP:
            return WorkerError(reject.message)


_CLASSES: Final = errors.classes_by_code()
