import pytest

from logsink.position import Position, load, resume, save

KNOWN = Position(stream="LOGS", created="monday", base=1000, written=50)


@pytest.mark.parametrize(
    ("known", "created", "last_stream_seq", "highest_seq", "expected"),
    [
        (KNOWN, "monday", 60, 1055, KNOWN),
        (KNOWN, "monday", 55, 1055, KNOWN),
        (None, "monday", 60, 0, Position(stream="LOGS", created="monday")),
        (KNOWN, "tuesday", 2000, 1055, Position(stream="LOGS", created="tuesday", base=1055)),
        (KNOWN, "monday", 54, 1055, Position(stream="LOGS", created="monday", base=1055)),
        (KNOWN, "monday", 49, 1020, Position(stream="LOGS", created="monday", base=1020)),
        (None, "monday", 60, 55, Position(stream="LOGS", created="monday", base=55)),
    ],
    ids=["same stream", "all written", "first start", "made anew", "gone back", "gone far back", "position lost"],
)
def test_a_stream_made_anew_is_not_taken_for_the_old_one(known, created, last_stream_seq, highest_seq, expected):
    found = resume(known, stream="LOGS", created=created, last_stream_seq=last_stream_seq, highest_seq=highest_seq)
    assert found == expected


def test_the_position_is_kept(tmp_path):
    assert load(tmp_path) is None
    save(tmp_path, KNOWN)
    assert load(tmp_path) == KNOWN


def test_a_position_that_cannot_be_read_is_none(tmp_path):
    (tmp_path / ".position.json").write_bytes(b"\xff{")
    assert load(tmp_path) is None
