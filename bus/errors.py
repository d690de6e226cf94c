"""The errors that labelbus raises on purpose, in one tree.

    LabelbusError                 code, message; the root: catch this
    ├── InvalidInputError         wrong input from outside; trying again does not help
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
    ├── NoWorkerError             no worker is there to run it
    ├── DeadlineError             the deadline has passed
    ├── ProblemError              a gateway refused a client's request; raised by clients only
    ├── WorkerError               the worker could not do it
    │   ├── LoadError             the label could not be loaded
    │   └── RuntimeUnavailableError  the runtime (Triton) is away; another worker may do it
    └── UnavailableError          a part of labelbus (NATS, the converter) is out of reach
        ├── NoRespondersError     nobody listens on the subject of a request
        ├── RequestTimeoutError   no answer to a request in time; it may still be carried out
        └── StoppingError         it is being stopped; another of its kind may do it

`code` is stable and travels in `Result.error_code`, in HTTP problem details and in log records. Which HTTP
status a code has is decided in `dispatcher.api.problems`, nowhere else.
"""


def reason(exc: BaseException) -> str:
    """Return an exception's message, or its class's name if it has none (as a bare TimeoutError)."""
    return str(exc).strip() or type(exc).__name__


class LabelbusError(Exception):
    """The root of labelbus errors. `str(error)` is a sentence for a person that says what to do next."""

    code: str = "internal"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidInputError(LabelbusError):
    """Wrong input from outside; the same input will fail again."""

    code = "invalid"


class MalformedError(InvalidInputError):
    """Input that is not the JSON, protobuf or shape that was asked for."""

    code = "malformed"


class BadParametersError(InvalidInputError):
    """Well-formed parameters whose values the task type refuses."""

    code = "bad_parameters"


class BadNameError(InvalidInputError):
    """A label, worker id or task id that cannot be a name on the bus."""

    code = "bad_name"


class TooLargeError(InvalidInputError):
    """Input over a limit that the message names."""

    code = "too_large"


class UnsupportedMediaTypeError(InvalidInputError):
    """A body of a media type, character set or content encoding that is not understood."""

    code = "unsupported_media_type"


class NotFoundError(LabelbusError):
    """Something asked for that does not exist."""

    code = "not_found"


class UnknownModelError(NotFoundError):
    """A model that is neither in the model repository nor on the hub."""

    code = "unknown_model"


class UnknownTaskTypeError(NotFoundError):
    """A task type for which no worker has a handler."""

    code = "unknown_task_type"


class ConflictError(LabelbusError):
    """Something that exists already, or is being done already."""

    code = "exists"


class OverloadedError(LabelbusError):
    """A full queue; `retry_after_s` is an estimate of when there will be room."""

    code = "queue_full"

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NoWorkerError(LabelbusError):
    """A task for which there is no worker."""

    code = "no_worker"


class DeadlineError(LabelbusError):
    """A deadline that passed before there was an answer."""

    code = "deadline_passed"


class ProblemError(LabelbusError):
    """The answer of a gateway that refused a client's request, or of a server that is no gateway.

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
    """A task that the worker could not do; the task itself, or its label, is at fault."""

    code = "worker_failed"


class LoadError(WorkerError):
    """A label that could not be loaded."""

    code = "load_failed"


class RuntimeUnavailableError(WorkerError):
    """A worker's runtime that is away for the moment; the task may run elsewhere."""

    code = "runtime_unavailable"


class UnavailableError(LabelbusError):
    """A part of labelbus (NATS, the converter) that is out of reach."""

    code = "unavailable"


class NoRespondersError(UnavailableError):
    """A request on whose subject nobody listens; nothing was done."""


class RequestTimeoutError(UnavailableError):
    """A request without an answer in time; it may have been carried out, or may still be."""


class StoppingError(UnavailableError):
    """A refusal by a part that is being stopped; nothing was done, and another of its kind may do it."""

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
