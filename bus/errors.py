"""Every error that labelbus raises on purpose.

    LabelbusError                 code, message; the root: catch this
    ├── InvalidInputError         what came from outside is wrong; trying again does not help
    │   ├── MalformedError        not the JSON, protobuf or shape that was asked for
    │   ├── BadParametersError    the right shape, but the task type refuses the values
    │   ├── BadNameError          a label, worker id or task id that cannot be a name
    │   ├── TooLargeError         over one of the limits
    │   └── UnsupportedMediaTypeError  a body of a type or an encoding that is not understood
    ├── NotFoundError
    │   ├── UnknownModelError     no such entry in the model repository, no such model on the hub
    │   └── UnknownTaskTypeError  no worker has a handler for it
    ├── ConflictError             it exists already, or is being done already
    ├── OverloadedError           a queue is full; try again later
    ├── NoWorkerError             nobody is there to run it
    ├── DeadlineError             its time is over
    ├── ProblemError              a gateway refused a client's request; raised by clients only
    ├── WorkerError               the worker could not do it
    │   ├── LoadError             the label could not be taken up
    │   └── RuntimeUnavailableError  the runtime (Triton) is away; another worker may do it
    └── UnavailableError          a part of labelbus (NATS, the converter) is out of reach
        ├── NoRespondersError     nobody listens on the subject of a request
        ├── RequestTimeoutError   no answer to a request in time; it may still be carried out
        └── StoppingError         it is being stopped; another of its kind may do it

`code` is stable and travels in `Result.error_code`, in HTTP problem details and in log records. Which HTTP
status a code has is decided in `dispatcher.api.problems`, nowhere else.
"""


def reason(exc: BaseException) -> str:
    """What an exception says of itself, or its name if that is nothing (a bare TimeoutError, say)."""
    return str(exc).strip() or type(exc).__name__


class LabelbusError(Exception):
    """Something labelbus can name. `str(error)` is a sentence for a person that says what to do next."""

    code: str = "internal"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidInputError(LabelbusError):
    """What came from outside is wrong; the same input will fail again."""

    code = "invalid"


class MalformedError(InvalidInputError):
    """Not the JSON, protobuf or shape that was asked for."""

    code = "malformed"


class BadParametersError(InvalidInputError):
    """Well formed, but the task type refuses the values."""

    code = "bad_parameters"


class BadNameError(InvalidInputError):
    """A label, worker id or task id that cannot be a name on the bus."""

    code = "bad_name"


class TooLargeError(InvalidInputError):
    """Over a limit that the message names."""

    code = "too_large"


class UnsupportedMediaTypeError(InvalidInputError):
    """A body of a media type, character set or content encoding that is not understood."""

    code = "unsupported_media_type"


class NotFoundError(LabelbusError):
    """What was asked for does not exist."""

    code = "not_found"


class UnknownModelError(NotFoundError):
    """No such entry in the model repository, or no such model on the hub."""

    code = "unknown_model"


class UnknownTaskTypeError(NotFoundError):
    """No worker has a handler for this task type."""

    code = "unknown_task_type"


class ConflictError(LabelbusError):
    """It exists already, or is being done already."""

    code = "exists"


class OverloadedError(LabelbusError):
    """A queue is full; `retry_after_s` is a guess at when there will be room."""

    code = "queue_full"

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NoWorkerError(LabelbusError):
    """Nobody is there to run it."""

    code = "no_worker"


class DeadlineError(LabelbusError):
    """Its deadline passed before there was an answer."""

    code = "deadline_passed"


class ProblemError(LabelbusError):
    """A gateway refused a client's request, or a server that is no gateway answered it.

    `status` is the HTTP status, `code` the stable code of the gateway's error ("unknown" from other servers), `detail`
    says what to do next. `task_id` and `worker` are empty where the error concerns none.
    """

    def __init__(self, detail: str, *, status: int, code: str, task_id: str = "", worker: str = "") -> None:
        super().__init__(f"{detail} ({code})")
        self.status = status
        self.code = code
        self.detail = detail
        self.task_id = task_id
        self.worker = worker


class WorkerError(LabelbusError):
    """The worker could not do the task; the task itself, or its label, is at fault."""

    code = "worker_failed"


class LoadError(WorkerError):
    """The label could not be taken up."""

    code = "load_failed"


class RuntimeUnavailableError(WorkerError):
    """The worker's runtime is away for the moment; the task is safe to run elsewhere."""

    code = "runtime_unavailable"


class UnavailableError(LabelbusError):
    """A part of labelbus (NATS, the converter) is out of reach."""

    code = "unavailable"


class NoRespondersError(UnavailableError):
    """Nobody listens on the subject of a request, so nothing was done."""


class RequestTimeoutError(UnavailableError):
    """A request was sent, but no answer came in time; it may have been carried out, or may still be."""


class StoppingError(UnavailableError):
    """It was asked of a part that is being stopped, and nothing was done; another of its kind may do it."""

    code = "stopping"


def classes_by_code() -> dict[str, type[LabelbusError]]:
    """Return the class of each `code`: the one that introduces the code, not a subclass that inherits it."""
    found: dict[str, type[LabelbusError]] = {}
    kinds = [LabelbusError]
    for kind in kinds:
        if "code" in vars(kind):
            found[kind.code] = kind
        kinds += kind.__subclasses__()
    return found
