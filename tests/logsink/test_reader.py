from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest

from bus.codec import encode_records
from bus.errors import NotFoundError
from bus.messages import LogRecord
from logsink.files import open_folder
from logsink.layout import Source
from logsink.lines import to_lines
from logsink.reader import Filter, Line, LogReader
from logsink.writer import Entry

W1, W2, DISPATCHER = Source("worker", "w1"), Source("worker", "w2"), Source("dispatcher", "d1")


class Sink:
    """Writes records at times given in minutes, as the log sink does."""

    def __init__(self, root, limit_bytes):
        self.folder = open_folder(root, limit_bytes=limit_bytes)
        self.root = root
        self.seq = 0

    def log(self, source, minute, event, *, level="INFO", day=3, **fields):
        record = LogRecord(
            time=f"2026-11-{day:02}T12:{minute:02}:00.000000Z",
            level=level,
            component=source.component,
            id=source.id,
            event=event,
            fields=fields,
        )
        self.raw(source, encode_records([record]), day=day)

    def raw(self, source, payload, *, day=3):
        self.seq += 1
        lines = to_lines(payload, subject="s", source=source, seq=self.seq, stored_at=datetime.fromtimestamp(0, UTC))
        self.folder.write([Entry(source=source, seq=self.seq, day=date(2026, 11, day), lines=lines)])


@pytest.fixture
def make_sink(tmp_path):
    made: list[Sink] = []

    def make(limit_bytes=10**6):
        made.append(Sink(tmp_path / "logs", limit_bytes))
        return made[-1]

    yield make
    for sink in made:
        sink.folder.close()


@pytest.fixture
def sink(make_sink: Callable[..., Sink]) -> Sink:
    sink = make_sink()
    sink.log(W1, 0, "first", day=1)
    sink.log(W1, 1, "loaded", task_id="a")
    sink.log(DISPATCHER, 2, "routed", task_id="a", level="DEBUG")
    sink.log(W2, 0, "early", level="ERROR", task_id="b")
    sink.log(W1, 3, "done", level="WARNING", task_id="a")
    return sink


def events(lines):
    return [line.record.event if line.record else line.raw for line in lines]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(), ["first", "early", "loaded", "routed", "done"]),
        (Filter(component="worker", id="w1"), ["first", "loaded", "done"]),
        (Filter(component="worker"), ["first", "early", "loaded", "done"]),
        (Filter(component="dispatcher"), ["routed"]),
        (Filter(component="nobody"), []),
        (Filter(level="INFO"), ["first", "early", "loaded", "done"]),
        (Filter(level="WARNING"), ["early", "done"]),
        (Filter(level="CRITICAL"), []),
        (Filter(task_id="a"), ["loaded", "routed", "done"]),
        (Filter(task_id="a", component="worker", level="WARNING"), ["done"]),
        (Filter(since="2026-11-03T12:01:00.000000Z"), ["loaded", "routed", "done"]),
        (Filter(since="2026-11-09T00:00:00.000000Z"), []),
    ],
)
def test_lines_are_merged_by_time_and_filtered(sink, wanted, expected):
    assert events(LogReader(sink.root, wanted).history()) == expected


@pytest.mark.parametrize("count", range(7))
def test_a_tail_is_the_end_of_all(sink, count):
    everything = events(LogReader(sink.root, Filter()).history())
    assert events(LogReader(sink.root, Filter()).history(count)) == everything[len(everything) - min(count, 5) :]


def test_a_tail_is_found_across_rotated_files(make_sink):
    sink = make_sink(limit_bytes=300)
    for minute in range(20):
        sink.log(W1, minute, f"e{minute}", level="INFO" if minute % 2 else "ERROR")
    assert len(list((sink.root / "worker.w1").iterdir())) > 3
    assert events(LogReader(sink.root, Filter(level="ERROR")).history(3)) == ["e14", "e16", "e18"]
    assert events(LogReader(sink.root, Filter()).history()) == [f"e{minute}" for minute in range(20)]


def test_news_are_what_came_since_through_rotations_and_new_sources(make_sink):
    sink = make_sink(limit_bytes=400)
    sink.log(W1, 0, "old")
    reader = LogReader(sink.root, Filter())
    assert events(reader.history()) == ["old"]
    assert reader.news() == []
    for minute in range(1, 8):
        sink.log(W1, minute, f"e{minute}")
    sink.log(W2, 2, "another")
    sink.log(W1, 8, "next day", day=4)
    assert events(reader.news()) == ["e1", "e2", "another", *(f"e{n}" for n in range(3, 8)), "next day"]
    assert reader.news() == []
    sink.log(W1, 9, "later", day=4)
    assert events(reader.news()) == ["later"]


def test_a_line_is_news_once_it_is_whole(sink):
    reader = LogReader(sink.root, Filter())
    (path,) = (sink.root / "worker.w2").iterdir()
    line = path.read_bytes()
    path.write_bytes(line + line[:30])
    assert len(events(reader.history())) == 5
    assert reader.news() == []
    path.write_bytes(line + line)
    assert events(reader.news()) == ["early"]


def test_what_was_cut_off_by_recovery_is_read_when_it_is_there_again(sink):
    reader = LogReader(sink.root, Filter())
    list(reader.history())
    (path,) = (sink.root / "worker.w2").iterdir()
    line = path.read_bytes()
    path.write_bytes(line + line)
    assert events(reader.news()) == ["early"]
    path.write_bytes(line)
    assert reader.news() == []
    path.write_bytes(line + line)
    assert events(reader.news()) == ["early"]


def test_files_that_retention_takes_meanwhile_are_passed_over(sink):
    lines = LogReader(sink.root, Filter(component="worker", id="w1")).history()
    first = next(lines)
    for path in (sink.root / "worker.w1").iterdir():
        path.unlink()
    assert events([first]) == ["first"]
    assert len(list(lines)) <= 2


def test_lines_that_are_no_records_are_given_as_they_are(sink):
    (path,) = (sink.root / "worker.w2").iterdir()
    with path.open("ab") as file:
        file.write(b"\xffrubbish\n\n" + b"[" * 10_000 + b"\n")
    lines = list(LogReader(sink.root, Filter(component="worker", id="w2")).history())
    assert events(lines) == ["early", b"\xffrubbish", b"", b"[" * 10_000]
    assert isinstance(lines[1], Line)
    assert lines[1].time == lines[0].time
    assert LogReader(sink.root, Filter(level="ERROR", id="w2")).history().__next__().record is not None
    assert events(LogReader(sink.root, Filter(id="w2", task_id="b")).history()) == ["early"]


def test_without_a_folder_it_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(NotFoundError, match="start a log sink"):
            list(LogReader(path, Filter()).history())


def test_foreign_files_and_folders_are_ignored(sink):
    (sink.root / "lost+found").mkdir()
    (sink.root / "notes.txt").write_text("hello\n")
    (sink.root / "worker.w1" / "2026-11-03.0001.jsonl.gz").write_text("hello\n")
    assert len(events(LogReader(sink.root, Filter()).history())) == 5
