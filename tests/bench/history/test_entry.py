import json

import pytest

from bench.history.entry import Entry, Figure, append, read
from bus.errors import MalformedError

ENTRY = Entry(
    commit="0" * 40,
    dirty=False,
    date="2026-11-24T12:00:00+00:00",
    machine="2 cores, Xeon, Linux x86_64, Python 3.11.7",
    load_before=0.1,
    command="just bench-router --quick",
    figures={"submit, 1,000 workers, median": Figure(9.5, "µs")},
)


def test_a_run_is_one_json_line_with_commit_date_machine_command_and_figures_with_units(tmp_path):
    file = tmp_path / "made" / "router.jsonl"
    append(file, ENTRY)
    append(file, ENTRY)
    first, second = file.read_text().splitlines()
    assert first == second
    assert json.loads(first) == {
        "commit": "0" * 40,
        "dirty": False,
        "date": "2026-11-24T12:00:00+00:00",
        "machine": "2 cores, Xeon, Linux x86_64, Python 3.11.7",
        "load_before": 0.1,
        "command": "just bench-router --quick",
        "figures": {"submit, 1,000 workers, median": {"value": 9.5, "unit": "µs"}},
    }
    assert read(file) == [ENTRY, ENTRY]


@pytest.mark.parametrize("line", ["{", "{}", '{"commit": 1}', "[]", '{"figures": {"a": 1}}'])
def test_a_malformed_line_is_named(tmp_path, line):
    file = tmp_path / "router.jsonl"
    append(file, ENTRY)
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(MalformedError, match=r"router\.jsonl, line 2"):
        read(file)
