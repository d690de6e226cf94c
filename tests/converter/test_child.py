import errno

import pytest

from bus.errors import LoadError, NoWorkerError, UnknownModelError, WorkerError
from converter.child import out_of_memory, out_of_room
from converter.events import Failed, failed
from tests.disks import small_disk


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


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "whatever"), True),
        (OSError(errno.EDQUOT, "whatever"), True),
        (Exception("No space left on device (os error 28)"), True),
        (RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"), False),
        (OSError(errno.EACCES, "Permission denied"), False),
    ],
)
def test_the_ways_to_say_that_the_disk_is_full_are_known(error, expected, tmp_path):
    assert out_of_room(error) is expected
    assert out_of_room(error, tmp_path) is expected, "there is room"


def test_a_write_that_failed_for_no_given_reason_on_a_full_disk_failed_because_of_that(tmp_path):
    with small_disk(tmp_path / "disk", size_mb=1) as disk:
        assert not out_of_room(RuntimeError("write failed"), disk.folder)
        disk.fill()
        assert out_of_room(RuntimeError("write failed"), disk.folder)


def test_an_error_comes_through_as_itself_and_a_code_of_another_part_as_a_failure():
    for error in (UnknownModelError("no such"), LoadError("cannot"), WorkerError("w" * 5000)):
        through = failed(error).error()
        assert type(through) is type(error)
        assert error.message.startswith(through.message)
    assert type(Failed(code=NoWorkerError.code, message="x").error()) is WorkerError
