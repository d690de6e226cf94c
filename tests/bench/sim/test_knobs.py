"""Halving and doubling the router's knobs: the values that are tried, and the command."""

import json

from click.testing import CliRunner

from bench.sim import __main__
from bench.sim.grid import FULL, cells
from bench.sim.knobs import FACTORS, KNOBS, Variant, default_of, measure_knobs, variants

SMALL = next(cell for cell in cells(FULL) if cell.workers == 1 and cell.load_runs == 1)


def test_each_knob_is_halved_and_doubled_and_all_others_keep_their_defaults():
    tried = variants()
    assert tried[0] == Variant()
    assert len(tried) == 1 + len(KNOBS) * len(FACTORS)
    default = tried[0].policy()
    for variant in tried[1:]:
        group, name = variant.knob.split(".")
        policy = variant.policy()
        changed = {
            f"{field}.{inner}"
            for field in ("costs", "aging", "estimates", "contention", "limits")
            for inner in getattr(default, field).__struct_fields__
            if getattr(getattr(policy, field), inner) != getattr(getattr(default, field), inner)
        }
        assert changed == {variant.knob}
        assert getattr(getattr(policy, group), name) / default_of(variant.knob) in FACTORS


def test_a_knob_that_a_cell_does_not_use_changes_nothing(monkeypatch):
    monkeypatch.setattr("bench.sim.knobs.KNOBS", ("costs.ahead_below_s",))  # runs of the grid take 30 ms
    played = []
    results = measure_knobs([SMALL], processes=1, done=lambda: played.append(1))
    assert len(played) == 3
    assert [result.value for result in results] == [0.005, 0.02]
    assert all(result.mean_ratio == result.p99_ratio == result.most_mean == 1.0 for result in results)


def test_the_command_turns_the_knobs_and_writes_what_came_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(__main__, "cells", lambda count: [SMALL])
    monkeypatch.setattr("bench.sim.knobs.KNOBS", ("estimates.run_alpha",))
    result = CliRunner().invoke(__main__.main, ["--grid", "--knobs", "--quick", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    rows = json.loads((tmp_path / "knobs.json").read_text())
    assert [(row["knob"], row["value"]) for row in rows] == [
        ("estimates.run_alpha", 0.05),
        ("estimates.run_alpha", 0.2),
    ]
    assert "estimates.run_alpha" in result.output


def test_knobs_without_the_grid_are_refused():
    result = CliRunner().invoke(__main__.main, ["--knobs"])
    assert result.exit_code == 2
    assert "--knobs needs --grid" in result.output
