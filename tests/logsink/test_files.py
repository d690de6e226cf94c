import json
import os
import resource
import signal
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.codec import encode_records
from bus.errors import ConflictError, UnavailableError
from bus.messages import LogRecord
from logsink import files
from logsink.files import open_folder
from logsink.layout import Source
from logsink.lines import to_lines
from logsink.writer import Entry, Tally, Writer

DAY = date(2026, 11, 3)
SOURCES = [Source("worker", "w1"), Source("worker", "w2"), Source("dispatcher", "d1")]


def entry(seq, *, source=SOURCES[0], records=1, day=DAY, pad=0):
    payload = encode_records(
        [
            LogRecord(
                time="t", level="INFO", component="c", id="i", event="e", fields={"n": [seq, n], "pad": "x" * pad}
            )
            for n in range(records)
        ]
    )
    lines = to_lines(payload, subject="lb.log.c.i", source=source, seq=seq, stored_at=datetime.fromtimestamp(0, UTC))
    return Entry(source=source, seq=seq, day=day, lines=lines)


@pytest.fixture
def open_at(tmp_path):
    """Opens log folders and closes them at the end."""
    opened = []

    def open_it(name="logs", limit_bytes=10**6):
        opened.append(open_folder(tmp_path / name, limit_bytes=limit_bytes))
        return opened[-1]

    yield open_it
    for folder in opened:
        folder.close()


def numbers(root: Path, source=SOURCES[0]):
    """Return what the records in the files of a source say of themselves, in order."""
    paths = sorted((root / source.folder).glob("*.jsonl"))
    return [json.loads(line)["fields"]["n"] for path in paths for line in path.read_bytes().splitlines()]


def test_what_is_written_is_there_and_what_comes_again_is_passed_over(open_at):
    folder = open_at()
    folder.write([entry(1), entry(2, records=3), entry(3, source=SOURCES[1])])
    assert (folder.tally.records, folder.tally.again) == (5, 0)
    folder.write([entry(2, records=3), entry(3, source=SOURCES[1]), entry(4)])
    assert (folder.tally.records, folder.tally.again) == (6, 2)
    assert numbers(folder.path) == [[1, 0], [2, 0], [2, 1], [2, 2], [4, 0]]
    assert numbers(folder.path, SOURCES[1]) == [[3, 0]]
    assert folder.highest_seq == 4


def test_a_file_follows_when_one_is_full_and_on_a_new_day(open_at):
    folder = open_at(limit_bytes=500)
    folder.write([entry(seq, pad=100) for seq in range(1, 6)])
    folder.write([entry(6, day=date(2026, 11, 4)), entry(7, day=DAY)])
    names = sorted(path.name for path in (folder.path / "worker.w1").iterdir())
    assert names == ["2026-11-03.0001.jsonl", "2026-11-03.0002.jsonl", "2026-11-03.0003.jsonl", "2026-11-04.0001.jsonl"]
    assert numbers(folder.path) == [[seq, 0] for seq in range(1, 8)]
    assert all(path.stat().st_size <= 500 for path in (folder.path / "worker.w1").iterdir())


@settings(max_examples=60, deadline=None)
@given(
    script=st.lists(st.tuples(st.sampled_from(SOURCES), st.integers(1, 3)), min_size=1, max_size=12),
    limit_bytes=st.sampled_from([150, 600, 10**6]),
    cuts=st.lists(st.floats(0, 1), min_size=3, max_size=3),
    rubbish=st.sampled_from([b"", bytes(70_000), b"\n"]),
)
def test_files_torn_anywhere_have_every_record_once_after_a_replay(
    tmp_path_factory, script, limit_bytes, cuts, rubbish
):
    root = tmp_path_factory.mktemp("torn")
    entries = [entry(seq, source=source, records=records) for seq, (source, records) in enumerate(script, 1)]
    folder = open_folder(root, limit_bytes=limit_bytes)
    folder.write(entries)
    folder.close()
    for source, cut in zip(SOURCES, cuts, strict=True):
        if found := sorted((root / source.folder).glob("*.jsonl")):
            data = found[-1].read_bytes()
            found[-1].write_bytes(data[: int(cut * len(data))] + rubbish)
    folder = open_folder(root, limit_bytes=limit_bytes)
    folder.write(entries)
    folder.close()
    for source in SOURCES:
        expected = [[e.seq, n] for e in entries if e.source == source for n in range(e.lines.records)]
        assert (numbers(root, source) if expected else []) == expected


def test_recovery_finds_a_message_longer_than_what_it_reads_first(open_at):
    folder = open_at()
    folder.write([entry(1), entry(2, records=5, pad=60_000)])
    (path,) = (folder.path / "worker.w1").iterdir()
    path.write_bytes(path.read_bytes()[:-10])
    writer = Writer.recover(folder.path, SOURCES[0], Tally())
    assert writer.last_seq == 1
    assert numbers(folder.path) == [[1, 0]]


def test_one_folder_has_one_writer(open_at):
    open_at()
    with pytest.raises(ConflictError, match="another log sink"):
        open_at()


def test_a_file_in_the_folders_place_is_a_clear_error(tmp_path, open_at):
    (tmp_path / "logs").write_text("")
    with pytest.raises(UnavailableError, match="cannot be written"):
        open_at()


@pytest.fixture
def full_disk():
    """Lets files of this process grow to so many bytes only: a write is cut short, the next one fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def set_limit(size_bytes):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes or before[0], before[1]))

    yield set_limit
    set_limit(None)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_leaves_nothing_half_written_and_the_same_batch_may_be_tried_again(open_at, full_disk):
    folder = open_at()
    folder.write([entry(1)])
    batch = [entry(2, source=SOURCES[1]), entry(3, records=20, pad=100), entry(4)]
    full_disk(1000)
    for _ in range(2):
        with pytest.raises(UnavailableError, match="they wait in the log stream"):
            folder.write(batch)
        assert numbers(folder.path) == [[1, 0]]
    full_disk(None)
    folder.write(batch)
    assert numbers(folder.path) == [[1, 0], *([3, n] for n in range(20)), [4, 0]]
    assert numbers(folder.path, SOURCES[1]) == [[2, 0]]


def test_what_could_not_be_flushed_is_written_again(open_at, monkeypatch):
    folder = open_at()
    folder.write([entry(1)])
    fsync = os.fsync

    def fail(_fd):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UnavailableError, match="Input/output error"):
        folder.write([entry(2)])
    assert numbers(folder.path) == [[1, 0]]
    monkeypatch.setattr(os, "fsync", fsync)
    folder.write([entry(2)])
    assert numbers(folder.path) == [[1, 0], [2, 0]]


def test_a_file_that_somebody_removed_or_emptied_is_begun_again(open_at):
    folder = open_at()
    folder.write([entry(1)])
    (path,) = (folder.path / "worker.w1").iterdir()
    path.write_bytes(b"")
    folder.write([entry(2)])
    assert numbers(folder.path) == [[2, 0]]
    path.unlink()
    path.parent.rmdir()
    folder.write([entry(3)])
    assert numbers(folder.path) == [[3, 0]]


def test_few_files_are_open_however_many_sources_there_are(open_at, monkeypatch):
    monkeypatch.setattr(files, "MAX_OPEN_FILES", 5)
    folder = open_at()
    many = [Source("worker", f"w{n}") for n in range(20)]
    for turn in range(2):
        folder.write([entry(100 * turn + n + 1, source=source) for n, source in enumerate(many)])
        assert sum(writer.opened for writer in folder._writers.values()) == 5
    for n, source in enumerate(many):
        assert numbers(folder.path, source) == [[n + 1, 0], [n + 101, 0]]


def test_old_files_are_removed_and_a_source_may_come_back(open_at):
    folder = open_at()
    folder.write([entry(1), entry(2, source=SOURCES[1], day=date(2026, 11, 5))])
    gone = folder.clean_up(today=date(2026, 11, 5), keep_days=2, keep_bytes=10**6)
    assert [file.path.name for file in gone] == ["2026-11-03.0001.jsonl"]
    assert sorted(path.name for path in folder.path.glob("*.*")) == [".lock", "worker.w2"]
    folder.write([entry(3, day=date(2026, 11, 5))])
    assert numbers(folder.path) == [[3, 0]]
