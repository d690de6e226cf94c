"""Translation of Triton's gRPC errors: the one place that knows its statuses and messages (2.51, seen in tests)."""

import re
from typing import Final

from tritonclient.utils import InferenceServerException

from bus.errors import (
    BadParametersError,
    DeadlineError,
    LabelbusError,
    LoadError,
    RuntimeUnavailableError,
    UnknownModelError,
    WorkerError,
)

_NOISE: Final = re.compile(
    r"^\[request id: [^\]]*\] |^load failed for model '[^']*': |version \d+ is at UNAVAILABLE state: "
    r"|; check model config runtime field|;\s*$"
)

_BAD_VALUES: Final = re.compile(r"onnx runtime error 2:")
"""Text of the official backend for values that the graph refuses, such as a token id past the vocabulary."""

_AWAY: Final = frozenset({"UNAVAILABLE", "NOT_FOUND", "CANCELLED"})


def status_of(error: InferenceServerException) -> str:
    """Return the gRPC status as a bare name, such as NOT_FOUND; empty for an error of the client library itself."""
    return (error.status() or "").removeprefix("StatusCode.")


def is_dead_stub(error: InferenceServerException) -> bool:
    """Return whether the model's process has died. Triton still calls such a model ready, until it is unloaded."""
    return status_of(error) == "INTERNAL" and "Stub process" in error.message()


def load_error(label: str, error: InferenceServerException) -> LabelbusError:
    """Translate the error of a load."""
    match status_of(error):
        case "UNAVAILABLE" | "CANCELLED":
            return RuntimeUnavailableError(f"Triton is away: {_said(error)}")
        case "DEADLINE_EXCEEDED":
            return RuntimeUnavailableError(f"Triton did not finish loading {label} in time")
        case "INTERNAL" if "failed to poll" in error.message():
            return UnknownModelError(f"no model {label} in the model repository of Triton")
        case _:
            return LoadError(f"Triton cannot load {label}: {_said(error)}")


def run_error(label: str, error: InferenceServerException) -> LabelbusError:
    """Translate the error of an inference."""
    status = status_of(error)
    if status == "NOT_FOUND":
        return RuntimeUnavailableError(f"{label} is not loaded in Triton any more")
    if status in _AWAY or is_dead_stub(error):
        return RuntimeUnavailableError(f"Triton, or its process for {label}, is away: {_said(error)}")
    if status == "INVALID_ARGUMENT" or _BAD_VALUES.search(error.message()):
        return BadParametersError(f"{label} refuses the inputs: {_said(error)}")
    if status == "DEADLINE_EXCEEDED":
        return DeadlineError(f"{label} gave no answer in time")
    return WorkerError(f"{label} failed: {_said(error)}")


def loses_label(error: InferenceServerException) -> bool:
    """Return whether a failed inference shows that the label must be loaded again before it can run."""
    return status_of(error) in _AWAY or is_dead_stub(error)


def _said(error: InferenceServerException) -> str:
    return _NOISE.sub("", error.message() or "no reason given").strip() or error.message()
