from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from bench.history.__main__ import command
from bench.history.entry import Figure, append, read
from bench.history.plot import plot
from tests.bench.history.test_entry import ENTRY

ROOT = Path(__file__).parents[3]
KEPT = sorted((ROOT / "docs/performance/history").glob("*.jsonl"))
LATER = msgspec.structs.replace(
    ENTRY, commit="1" * 40, dirty=True, figures={"submit, 1,000 workers, median": Figure(8.0, "µs"), "n": Figure(3, "")}
)
OTHER = msgspec.structs.replace(ENTRY, commit="2" * 40, command="just bench-router --events 500")


def test_the_plot_has_each_command_figure_and_commit_and_is_the_same_each_time(tmp_path):
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    for file in (first, second):
        plot([ENTRY, LATER, OTHER], file)
    drawn = first.read_text()
    assert drawn == second.read_text()
    for text in ("just bench-router --quick", "--events 500", "submit, 1,000 workers, median", "1111111+", "2222222"):
        assert text in drawn, text


def test_the_command_plots_each_file_beside_it(tmp_path):
    append(tmp_path / "router.jsonl", ENTRY)
    append(tmp_path / "sim.jsonl", LATER)
    done = CliRunner().invoke(command, ["--folder", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "router.svg: 1 recorded" in done.output
    assert all("<svg" in (tmp_path / name).read_text() for name in ("router.svg", "sim.svg"))


def test_without_recorded_runs_the_command_says_how_to_record_one(tmp_path):
    done = CliRunner().invoke(command, ["--folder", str(tmp_path)])
    assert done.exit_code == 1
    assert "--record" in done.output


@pytest.mark.parametrize("file", KEPT, ids=lambda file: file.stem)
def test_the_kept_history_can_be_read_and_is_plotted_and_shown(file):
    entries = read(file)
    assert entries
    assert all(len(entry.commit) == 40 for entry in entries)
    drawn = file.with_suffix(".svg").read_text()
    assert all(entry.commit[:7] in drawn for entry in entries), "run `just bench-history`"
    assert f"performance/history/{file.stem}.svg" in (ROOT / "docs/performance.md").read_text()
