import pytest
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
from worker.runtimes.triton_errors import load_error, loses_label, run_error

# What Triton 2.51 and the official onnxruntime backend say, word for word.
RUNS: list[tuple[str, str, type[LabelbusError], bool]] = [
    ("NOT_FOUND", "Request for unknown model: 'a--b' is not found", RuntimeUnavailableError, True),
    ("UNAVAILABLE", "Request for unknown model: 'a--b' has no available versions", RuntimeUnavailableError, True),
    ("UNAVAILABLE", "failed to connect to all addresses; last error: …", RuntimeUnavailableError, True),
    ("CANCELLED", "Locally cancelled by application!", RuntimeUnavailableError, True),
    ("INTERNAL", "Stub process 'a--b_0_0' is not healthy.", RuntimeUnavailableError, True),
    ("INTERNAL", "onnx runtime error 2: Non-zero status code … indices element out of", BadParametersError, False),
    ("INTERNAL", "onnx runtime error 6: Non-zero status code … Failed to allocate", WorkerError, False),
    ("INVALID_ARGUMENT", "inference request batch-size must be <= 32 for 'a--b'", BadParametersError, False),
    ("DEADLINE_EXCEEDED", "Deadline Exceeded", DeadlineError, False),
    ("RESOURCE_EXHAUSTED", "CLIENT: Received message larger than max", WorkerError, False),
    ("UNKNOWN", "", WorkerError, False),
]

LOADS: list[tuple[str, str, type[LabelbusError]]] = [
    ("INTERNAL", "failed to load 'a--b', failed to poll from model repository", UnknownModelError),
    ("INVALID_ARGUMENT", "load failed for model 'a--b': version 1 is at UNAVAILABLE state: Internal: …", LoadError),
    ("INTERNAL", "load failed for model 'a--b': …", LoadError),
    ("UNAVAILABLE", "failed to connect to all addresses; last error: …", RuntimeUnavailableError),
    ("DEADLINE_EXCEEDED", "Deadline Exceeded", RuntimeUnavailableError),
]


def triton_says(status: str, message: str) -> InferenceServerException:
    return InferenceServerException(msg=message, status=f"StatusCode.{status}")


@pytest.mark.parametrize(("status", "message", "meaning", "loses"), RUNS)
def test_what_a_failed_run_means(status: str, message: str, meaning: type[LabelbusError], loses: bool) -> None:
    error = run_error("a/b", triton_says(status, message))

    assert type(error) is meaning
    assert "a/b" in str(error)
    assert loses_label(triton_says(status, message)) is loses


@pytest.mark.parametrize(("status", "message", "meaning"), LOADS)
def test_what_a_refused_load_means(status: str, message: str, meaning: type[LabelbusError]) -> None:
    assert type(load_error("a/b", triton_says(status, message))) is meaning


def test_what_a_person_need_not_read_is_left_out() -> None:
    said = "load failed for model 'a--b': version 1 is at UNAVAILABLE state: Internal: no luck; "
    assert str(load_error("a/b", triton_says("INVALID_ARGUMENT", said))) == "Triton cannot load a/b: Internal: no luck"
    said = "[request id: <id_unknown>] too many"
    assert str(run_error("a/b", triton_says("INVALID_ARGUMENT", said))) == "a/b refuses the inputs: too many"
