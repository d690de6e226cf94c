import pytest

from logsink.position import Position, load, resume, save

KNOWN = Position(stream="LOGS", created="monday", base=1000, written=50)


def at(created="monday", *, base=0, written=0):
    return Position(stream="LOGS", created=created, base=base, written=written)


@pytest.mark.parametrize(
    ("known", "created", "last", "acknowledged", "highest", "expected"),
    [
        (KNOWN, "monday", 60, 0, 1055, KNOWN),
        (KNOWN, "monday", 55, 40, 1055, KNOWN),
        (KNOWN, "monday", 60, 53, 1055, at(base=1000, written=53)),
        (KNOWN, "monday", 60, 53, 0, at(base=1000, written=53)),
        (None, "monday", 60, 0, 0, at()),
        (None, "monday", 60, 42, 0, at(written=42)),
        (None, "monday", 60, 42, 55, at(base=55, written=42)),
        (None, "monday", 60, 99, 55, at(base=55)),
        (KNOWN, "tuesday", 2000, 0, 1055, at("tuesday", base=1055)),
        (KNOWN, "tuesday", 2000, 7, 0, at("tuesday", base=1050)),
        (KNOWN, "monday", 54, 53, 1055, at(base=1055)),
        (KNOWN, "monday", 54, 55, 1020, at(base=1050)),
        (KNOWN, "monday", 49, 0, 1020, at(base=1050)),
    ],
    ids=[
        "same stream",
        "all written",
        "more acknowledged",
        "files removed",
        "first start",
        "a new folder",
        "position lost",
        "position lost and stream gone back",
        "made anew",
        "made anew and files removed",
        "gone back behind the files",
        "gone back behind the consumer",
        "gone back behind the position",
    ],
)
def test_a_stream_made_anew_is_not_taken_for_the_old_one(known, created, last, acknowledged, highest, expected):
    found = resume(
        known,
        stream="LOGS",
        created=created,
        last_stream_seq=last,
        acknowledged=acknowledged,
        highest_seq=highest,
    )
    assert found == expected


def test_the_position_is_kept(tmp_path):
    assert load(tmp_path) is None
    save(tmp_path, KNOWN)
    assert load(tmp_path) == KNOWN


def test_a_position_that_cannot_be_read_is_none(tmp_path):
    (tmp_path / ".position.json").write_bytes(b"\xff{")
    assert load(tmp_path) is None
