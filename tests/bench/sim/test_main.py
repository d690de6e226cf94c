import json

from click.testing import CliRunner

from bench.sim.__main__ import main
from bench.sim.policies import POLICIES


def test_the_command_writes_table_json_and_plots(tmp_path):
    trace = tmp_path / "trace.csv"
    trace.write_text("".join(f"{n / 10},l{n % 3},20,300\n" for n in range(200)))
    out = tmp_path / "out"
    result = CliRunner().invoke(main, ["--trace", str(trace), "--workers", "2", "--slots", "2", "--out", str(out)])
    assert result.exit_code == 0, result.output
    record = json.loads((out / "results.json").read_text())
    assert {row["policy"] for row in record["rows"]} == set(POLICIES)
    assert list(out.glob("*.svg"))


def test_the_command_names_what_it_does_not_know():
    result = CliRunner().invoke(main, ["--workloads", "Z"])
    assert result.exit_code == 2
    assert "no workload 'Z'" in result.output
