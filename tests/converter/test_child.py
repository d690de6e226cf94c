import pytest

from bus.errors import LoadError, NoWorkerError, UnknownModelError, WorkerError
from converter.child import out_of_memory
from converter.events import Failed, failed


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"), True),
        (RuntimeError("std::bad_alloc"), True),
        (ImportError("libtorch_python.so: cannot map zero-fill pages"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (OSError("Error no file named model.safetensors"), False),
        (ValueError("memory"), False),
    ],
)
def test_the_ways_to_say_that_memory_is_short_are_known(error, expected):
    assert out_of_memory(error) is expected


def test_an_error_comes_through_as_itself_and_a_code_of_another_part_as_a_failure():
    for error in (UnknownModelError("no such"), LoadError("cannot"), WorkerError("w" * 5000)):
        through = failed(error).error()
        assert type(through) is type(error)
        assert error.message.startswith(through.message)
    assert type(Failed(code=NoWorkerError.code, message="x").error()) is WorkerError
