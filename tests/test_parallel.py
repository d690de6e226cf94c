"""The units of work that the tests are handed out in."""

from pathlib import Path

import pytest

from tests.parallel import LONG_S, WHOLE, read_durations, unit_of

ROOT = Path(__file__).parent.parent
KNOWN = {"tests/a/test_a.py::test_long": LONG_S, "tests/deploy/test_images.py::test_long": 90.0}


@pytest.mark.parametrize(
    ("nodeid", "unit"),
    [
        ("tests/a/test_a.py::test_short", "tests/a/test_a.py"),
        ("tests/a/test_a.py::test_long", "tests/a/test_a.py::test_long"),
        ("tests/a/test_a.py::test_bus[container-1]", "nats in a container"),
        ("tests/deploy/test_images.py::test_long", "images"),
    ],
)
def test_a_unit_is_a_file_a_long_test_or_what_shares_something(nodeid, unit):
    assert unit_of(nodeid, KNOWN) == unit


def test_every_file_that_is_kept_whole_is_there():
    assert [file for file in WHOLE if not (ROOT / file).exists()] == []


def test_the_kept_durations_are_of_long_tests():
    assert read_durations()
    assert all(seconds >= LONG_S for seconds in read_durations().values())
