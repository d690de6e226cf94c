import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.history.entry import Figure, read
from bench.history.record import FOLDER, RecordSettings, command_line, start_recording
from bench.live.settings import LiveSettings
from bench.path.settings import PathSettings
from bench.results import this_machine
from bench.sim.__main__ import main
from bus.errors import InvalidInputError
from tests.bench.history.conftest import git

RECORD = RecordSettings(record=True)


def add(recording):
    recording.add(machine=this_machine(), command="just bench-x", figures={"time": Figure(1.0, "s")})


def test_nothing_is_recorded_unless_asked_for(checkout):
    assert start_recording(RecordSettings(), "x") is None


def test_a_clean_tree_is_recorded_with_its_commit_and_the_history_itself_does_not_count(checkout):
    for _ in range(2):
        recording = start_recording(RECORD, "x")
        assert recording is not None
        add(recording)
    first, second = read(checkout / FOLDER / "x.jsonl")
    assert first.commit == second.commit == git(checkout, "rev-parse", "HEAD")
    assert (first.dirty, second.dirty) == (False, False)


@pytest.mark.parametrize("changed", ["code.py", "new.py"])
def test_a_dirty_tree_is_refused_before_the_run_unless_it_is_allowed(checkout, changed):
    (checkout / changed).write_text("2\n")
    with pytest.raises(InvalidInputError, match="--allow-dirty"):
        start_recording(RECORD, "x")
    recording = start_recording(RecordSettings(record=True, allow_dirty=True), "x")
    assert recording is not None
    add(recording)
    (entry,) = read(checkout / FOLDER / "x.jsonl")
    assert entry.dirty


def test_outside_a_checkout_nothing_can_be_recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInputError, match="git checkout"):
        start_recording(RECORD, "x")


def test_a_line_names_neither_the_host_nor_a_path(checkout):
    recording = start_recording(RECORD, "x")
    assert recording is not None
    add(recording)
    line = (checkout / FOLDER / "x.jsonl").read_text()
    assert socket.gethostname() not in line
    assert str(Path.home()) not in line
    assert str(checkout) not in line


@pytest.mark.parametrize(
    ("recipe", "settings", "line"),
    [
        ("bench-path", PathSettings(), "just bench-path"),
        (
            "bench-path",
            PathSettings(connections=(1, 32), seconds=0.5, logsink=True, results=Path("/somewhere")),
            "just bench-path --connections 1 --connections 32 --seconds 0.5 --logsink",
        ),
        (
            "bench",
            LiveSettings(record=True, allow_dirty=True, runtime="simulated", wait_avg=0.75, compare=True),
            "just bench --wait-avg 0.75 --runtime simulated --compare",
        ),
    ],
)
def test_the_command_has_what_differs_from_the_defaults_but_no_paths(recipe, settings, line):
    assert command_line(recipe, settings) == line


def test_the_simulator_records_what_it_was_asked_for_but_not_the_name_of_the_trace(checkout):
    trace = checkout / "bench-results" / "trace.csv"
    trace.parent.mkdir()
    trace.write_text("".join(f"{n / 10},l{n % 3},20,300\n" for n in range(50)))
    arguments = ["--trace", str(trace), "--workers", "2", "--policies", "labelbus", "--overlap", "--record"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    (entry,) = read(checkout / FOLDER / "sim.jsonl")
    assert entry.command == "just bench-sim --policies labelbus --overlap --workers 2"
    assert entry.figures["trace.csv: misses"].value >= 3


def test_a_benchmark_records_a_clean_tree_and_refuses_a_dirty_one(checkout):
    argv = [sys.executable, "-m", "bench.router", "--workers", "10", "--events", "100", "--record"]
    argv += ["--results", str(checkout / "bench-results")]
    environment = {"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": "/usr/bin:/bin:/usr/local/bin"}
    done = subprocess.run(argv, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (entry,) = read(checkout / FOLDER / "router.jsonl")
    assert entry.command == "just bench-router --workers 10 --events 100"
    assert entry.figures["submit, 10 workers, median"].unit == "µs"
    assert all(figure.value > 0 for figure in entry.figures.values())
    (checkout / "code.py").write_text("2\n")
    refused = subprocess.run(argv, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr.startswith("bench-router: the working tree has changes")
    assert len(read(checkout / FOLDER / "router.jsonl")) == 1
