import json
import os
import pty
import signal
import subprocess
import sys
from datetime import UTC, date, datetime

import pytest
from click.testing import CliRunner

from bus.codec import encode_records
from bus.errors import InvalidInputError
from bus.messages import LogRecord
from logsink.command import command as logs_command
from logsink.command import parse_since
from logsink.files import open_folder
from logsink.layout import Source
from logsink.lines import to_lines
from logsink.writer import Entry

W1 = Source("worker", "w1")
NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)


@pytest.fixture
def log(tmp_path):
    """Writes a record of worker w1, as the log sink does."""
    folder = open_folder(tmp_path / "logs", limit_bytes=300)
    seqs = iter(range(1, 1000))

    def write(event, *, level="INFO", error="", **fields):
        record = LogRecord(
            time="2026-11-03T12:00:00.123456Z",
            level=level,
            component="worker",
            id="w1",
            event=event,
            fields=fields,
            error=error,
        )
        seq = next(seqs)
        lines = to_lines(
            encode_records([record]), subject="s", source=W1, seq=seq, stored_at=datetime.fromtimestamp(0, UTC)
        )
        folder.write([Entry(source=W1, seq=seq, day=date(2026, 11, 3), lines=lines)])

    yield write
    folder.close()


@pytest.fixture
def logs(tmp_path):
    """Runs the command on the folder."""

    def run(*arguments):
        return CliRunner().invoke(logs_command, ["--folder", str(tmp_path / "logs"), *arguments])

    return run


def test_a_record_is_a_line_for_a_person(log, logs):
    log("task done", task_id="a1", run_ms=3.5, label="a/b", why="two words", empty="", labels=["x"])
    assert logs().stdout == (
        "2026-11-03 12:00:00.123 INFO    worker/w1 task done task_id=a1 run_ms=3.5 label=a/b "
        'why="two words" empty="" labels=["x"]\n'
    )


def test_an_exception_follows_and_nothing_reaches_the_terminal_that_it_would_obey(log, logs):
    log("a\x1b[2Jb\nc", level="ERROR", error="Traceback:\n  line\nValueError: \x07", bell="\x07")
    assert logs().stdout == (
        '2026-11-03 12:00:00.123 ERROR   worker/w1 a\\x1b[2Jb\\nc bell="\\u0007"\n'
        "    Traceback:\n      line\n    ValueError: \\x07\n"
    )


def test_a_line_that_is_no_record_is_shown_as_it_is(log, logs, tmp_path):
    log("good")
    (path,) = (tmp_path / "logs" / "worker.w1").iterdir()
    path.write_bytes(b"half\xff a line\n" + path.read_bytes())
    first, second = logs().stdout.splitlines()
    assert first == "? worker/w1 half\\xff a line"
    assert second.endswith("good")


def test_json_is_what_the_file_says(log, logs, tmp_path):
    log("one")
    log("two", task_id="a")
    (path,) = (tmp_path / "logs" / "worker.w1").iterdir()
    assert logs("--json").stdout_bytes == path.read_bytes()
    assert json.loads(logs("--json", "--task", "a").stdout)["event"] == "two"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["one", "two", "three"]),
        (["--level", "warning"], ["two"]),
        (["--task", "a"], ["three"]),
        (["--worker", "w1", "--tail", "1"], ["three"]),
        (["--worker", "w2"], []),
        (["--component", "dispatcher"], []),
        (["--since", "2026-11-04"], []),
        (["--since", "2026-11-03T12:00"], ["one", "two", "three"]),
    ],
)
def test_options_choose_records(log, logs, arguments, expected):
    log("one")
    log("two", level="WARNING")
    log("three", task_id="a")
    result = logs("--json", *arguments)
    assert result.exit_code == 0, result.output
    assert [json.loads(line)["event"] for line in result.stdout.splitlines()] == expected


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--folder", "/nowhere"], 1, "start a log sink"),
        (["--since", "yesterday"], 2, "--since"),
        (["--level", "LOUD"], 2, "LOUD"),
        (["--tail", "-1"], 2, "-1"),
        (["--worker", "w1", "--component", "dispatcher"], 2, "--worker"),
    ],
)
def test_what_does_not_fit_is_said_on_stderr(log, logs, arguments, status, message):
    result = logs(*arguments)
    assert result.exit_code == status
    assert message in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", "2026-11-03T11:59:30.000000Z"),
        ("10m", "2026-11-03T11:50:00.000000Z"),
        ("2h", "2026-11-03T10:00:00.000000Z"),
        ("1d", "2026-11-02T12:00:00.000000Z"),
        ("2026-11-01", "2026-11-01T00:00:00.000000Z"),
        ("2026-11-01T12:30+01:00", "2026-11-01T11:30:00.000000Z"),
    ],
)
def test_since_is_an_age_or_a_time(text, expected):
    assert parse_since(text, now=NOW) == expected


@pytest.mark.parametrize("text", ["", "10", "m", "-5m", "999999w", "2026-13-01", "0001-01-01T00:00+23:00"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(InvalidInputError, match="--since"):
        parse_since(text, now=NOW)


CALL = [sys.executable, "-c", "from logsink.command import command; command()"]


def test_following_shows_what_comes_through_a_rotation_and_ends_with_ctrl_c(log, tmp_path):
    log("old")
    with subprocess.Popen(
        [*CALL, "--folder", tmp_path / "logs", "--follow"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout is not None
        assert "old" in reader.stdout.readline()
        for number in range(5):
            log(f"new {number}", text="x" * 100)
            assert f"new {number}" in reader.stdout.readline()
        reader.send_signal(signal.SIGINT)
        _, errors = reader.communicate(timeout=30)
    assert (reader.returncode, errors) == (130, "")
    assert len(list((tmp_path / "logs" / "worker.w1").iterdir())) > 2


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_has_colours_unless_it_wants_none(log, tmp_path, variables, coloured):
    log("hello", level="ERROR")
    terminal, its_end = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | variables
    subprocess.run([*CALL, "--folder", tmp_path / "logs"], stdout=its_end, env=environment, check=True)
    os.close(its_end)
    shown = os.read(terminal, 10_000)
    os.close(terminal)
    assert b"hello" in shown
    assert (b"\x1b[31m" in shown) == coloured


def test_a_pipe_that_closes_early_is_no_error(log, tmp_path):
    for number in range(300):
        log(f"e{number}", text="x" * 2000)
    with subprocess.Popen(
        [*CALL, "--folder", tmp_path / "logs"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()
        reader.stdout.close()
        assert reader.stderr is not None
        assert "Traceback" not in reader.stderr.read()
