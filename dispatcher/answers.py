"""What the gateway asks of the service, and what it gets back."""

from typing import Any, Final

import msgspec

from bus import errors
from bus.errors import LabelbusError, OverloadedError, WorkerError
from dispatcher.router import Reason, Reject

RETRYABLE_CODES: Final = frozenset({errors.RuntimeUnavailableError.code})
"""Failures that are the worker's and not the task's: another worker may not have them."""


class TaskRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A checked task: names in normal form, parameters known to be JSON. `deadline_ms` is Unix time, 0 for none."""

    task_id: str
    task_type: str
    label: str
    parameters: bytes
    deadline_ms: int = 0
    retry: bool = True
    traceparent: str = ""


class TaskAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a task: `output` (JSON) or `error`. Times are milliseconds, 0 where the task never came to it.

    `queue_ms` is the time in the dispatcher's queue and in the worker's; `expected_ms` what the router thought that
    load and run would take.
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


def error_of(code: str, message: str) -> LabelbusError:
    """The error that a worker reported, as the class it was; one that is not known here is a `WorkerError`."""
    kind = _CLASSES.get(code, WorkerError)
    if kind is LabelbusError:  # raised by a handler as it is: the worker's fault, not the dispatcher's
        kind = WorkerError
    return OverloadedError(message, retry_after_s=1.0) if kind is OverloadedError else kind(message)


def error_of_reject(reject: Reject[Any]) -> LabelbusError:
    """The router's refusal as an error."""
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
