"""Messages between the converter and its child processes: jobs and events, one line of JSON each."""

from typing import ClassVar, Final

import msgspec

from bus.errors import (
    BadNameError,
    InvalidInputError,
    LabelbusError,
    LoadError,
    TooLargeError,
    UnavailableError,
    UnknownModelError,
    WorkerError,
)

MAX_MESSAGE_CHARS: Final = 2000

_ERRORS: Final[dict[str, type[LabelbusError]]] = {
    kind.code: kind
    for kind in (
        BadNameError,
        InvalidInputError,
        LoadError,
        TooLargeError,
        UnavailableError,
        UnknownModelError,
        WorkerError,
    )
}


class FetchJob(msgspec.Struct, frozen=True, kw_only=True):
    """Find a model on the hub, in the cache of earlier downloads, or in an installed package."""

    module: ClassVar[str] = "converter.fetch"

    hub_id: str
    hub_timeout_s: float


class ExportJob(msgspec.Struct, frozen=True, kw_only=True):
    """Write the graph and the tokenizer of the model in `folder` to `target`, and check them."""

    module: ClassVar[str] = "converter.export"

    folder: str
    target: str


class Step(msgspec.Struct, frozen=True, kw_only=True, tag="step"):
    """Progress of the conversion; `fraction` of the whole, 0 to 1."""

    stage: str
    fraction: float
    message: str = ""


class Fetched(msgspec.Struct, frozen=True, kw_only=True, tag="fetched"):
    """The result of a `FetchJob`: the model is in `folder`, and `source` names its origin for people."""

    folder: str
    source: str


class Exported(msgspec.Struct, frozen=True, kw_only=True, tag="exported"):
    """The result of an `ExportJob`; `peak_memory_bytes` is that of the child process."""

    dim: int
    max_seq_length: int
    cosine: float
    norm_error: float
    peak_memory_bytes: int


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """The failure of a job; `code` is that of a `LabelbusError`."""

    code: str
    message: str

    def error(self) -> LabelbusError:
        """Return the error with this code; `WorkerError` for a code that children do not use."""
        return _ERRORS.get(self.code, WorkerError)(self.message)


Event = Step | Fetched | Exported | Failed
"""An event of a child; its last line is its result or `Failed`."""


def failed(error: LabelbusError) -> Failed:
    """Return the event that carries this error to the parent."""
    return Failed(code=error.code, message=error.message[:MAX_MESSAGE_CHARS])
