"""What a child process is asked to do, and what it says: JSON, one line a message."""

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
    """Find a model of the hub: there, in the cache of earlier downloads, or in an installed package."""

    module: ClassVar[str] = "converter.fetch"

    hub_id: str
    hub_timeout_s: float


class ExportJob(msgspec.Struct, frozen=True, kw_only=True):
    """Write the graph and the tokenizer of the model in `folder` to `target`, and check them."""

    module: ClassVar[str] = "converter.export"

    folder: str
    target: str


class Step(msgspec.Struct, frozen=True, kw_only=True, tag="step"):
    """Where it is; `fraction` of the whole conversion, 0 to 1."""

    stage: str
    fraction: float
    message: str = ""


class Fetched(msgspec.Struct, frozen=True, kw_only=True, tag="fetched"):
    """The model is in `folder`; `source` says to a person where it came from."""

    folder: str
    source: str


class Exported(msgspec.Struct, frozen=True, kw_only=True, tag="exported"):
    """The graph and the tokenizer are written and checked. `peak_memory_bytes` is that of the child process."""

    dim: int
    max_seq_length: int
    cosine: float
    norm_error: float
    peak_memory_bytes: int


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """It could not be done; `code` is that of a `LabelbusError`."""

    code: str
    message: str

    def error(self) -> LabelbusError:
        """The error it stands for; a code that a child has no business with becomes `WorkerError`."""
        return _ERRORS.get(self.code, WorkerError)(self.message)


Event = Step | Fetched | Exported | Failed
"""What a child says; the last line is its result or `Failed`."""


def failed(error: LabelbusError) -> Failed:
    """The event that carries this error to the parent."""
    return Failed(code=error.code, message=error.message[:MAX_MESSAGE_CHARS])
