from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.subjects import Subjects
from logsink.layout import (
    STRANGER,
    LogFile,
    Place,
    Source,
    next_place,
    outdated,
    place_of_file,
    source_of_folder,
    source_of_subject,
)

DAY = date(2026, 11, 3)
NEXT_DAY = date(2026, 11, 4)


@pytest.mark.parametrize(
    "subject",
    [
        "lb.log.worker",
        "lb.log.worker.a.b",
        "lb.log...",
        "lb.log.../etc.passwd",
        "lb.log.worker./etc/passwd",
        "lb.log.worker.%2e%2e",
        "lb.log.worker.any",
        "lb.log.worker." + "x" * 300,
        "lb.log._.unknown",
        "other.log.worker.w1",
    ],
)
def test_a_subject_that_names_nobody_is_the_strangers(subject):
    assert source_of_subject(Subjects(), subject) == STRANGER


@settings(deadline=None)
@given(st.text())
def test_whatever_the_subject_the_file_lies_in_a_folder_right_under_the_log_folder(rest):
    folder = source_of_subject(Subjects(), f"lb.log.{rest}").folder
    assert (Path("/logs") / folder).resolve().parent == Path("/logs")


@pytest.mark.parametrize("source", [Source("worker", "gpu-1"), Source("dispatcher", "a_b"), STRANGER])
def test_a_folder_names_its_source(source):
    assert source_of_folder(source.folder) == source


@pytest.mark.parametrize("name", ["worker", "worker.", ".w1", "worker.a.b", ".lock", "lost+found", "", "_.other"])
def test_other_folders_are_nobodys(name):
    assert source_of_folder(name) is None


@settings(deadline=None)
@given(st.dates(), st.integers(1, 100_000))
def test_a_file_names_its_place(day, number):
    assert place_of_file(Place(day, number).file) == Place(day, number)


@pytest.mark.parametrize("name", ["2026-11-03.jsonl", "2026-13-03.0001.jsonl", "2026-11-03.0001.jsonl.gz", "notes.txt"])
def test_other_files_are_no_log_files(name):
    assert place_of_file(name) is None


@pytest.mark.parametrize(
    ("current", "day", "size", "expected"),
    [
        (None, DAY, 0, Place(DAY, 1)),
        (Place(DAY, 2), DAY, 50, Place(DAY, 2)),
        (Place(DAY, 2), DAY, 90, Place(DAY, 2)),
        (Place(DAY, 2), DAY, 91, Place(DAY, 3)),
        (Place(DAY, 2), DAY, 0, Place(DAY, 2)),
        (Place(DAY, 2), NEXT_DAY, 50, Place(NEXT_DAY, 1)),
        (Place(NEXT_DAY, 2), DAY, 50, Place(NEXT_DAY, 2)),
        (Place(NEXT_DAY, 2), DAY, 100, Place(NEXT_DAY, 3)),
    ],
)
def test_a_new_day_and_a_full_file_begin_the_next_and_days_never_go_back(current, day, size, expected):
    assert next_place(current, day=day, size_bytes=size, adding_bytes=10, limit_bytes=100) == expected


def test_a_message_over_the_limit_has_a_file_of_its_own():
    place = next_place(Place(DAY, 1), day=DAY, size_bytes=1, adding_bytes=500, limit_bytes=100)
    assert place == Place(DAY, 2)
    assert next_place(place, day=DAY, size_bytes=0, adding_bytes=500, limit_bytes=100) == Place(DAY, 2)


def file(day, *, number=1, size=10, newest=False):
    return LogFile(
        path=Path(f"w/{day}.{number}"), place=Place(date(2026, 11, day), number), size_bytes=size, newest=newest
    )


@pytest.mark.parametrize(
    ("files", "keep_days", "keep_bytes", "gone"),
    [
        ([file(1), file(2), file(3, newest=True)], 30, 1000, []),
        ([file(1), file(2), file(3, newest=True)], 2, 1000, [file(1)]),
        ([file(3), file(1), file(2)], 30, 20, [file(1)]),
        ([file(3), file(3, number=2, newest=True)], 30, 5, [file(3)]),
        ([file(3, newest=True)], 1, 1, []),
        ([file(1, newest=True)], 1, 1000, [file(1, newest=True)]),
        ([file(1, newest=True), file(2)], 30, 10, [file(1, newest=True)]),
    ],
)
def test_retention_takes_the_oldest_but_never_what_may_be_written_to(files, keep_days, keep_bytes, gone):
    assert outdated(files, today=DAY, keep_days=keep_days, keep_bytes=keep_bytes) == gone
