"""The grid: the same cells each time, all values in them, and a command that writes what it found."""

import json

import pytest
from click.testing import CliRunner

from bench.sim import __main__
from bench.sim.grid import COARSE, COARSE_PASSES, FULL, PASSES, Cell, cells, measure, pass_cells, summary, workload_of
from bench.sim.workload import INFER_S


def test_the_coarse_grid_is_the_beginning_of_the_full_one_and_the_same_each_time():
    assert cells(COARSE) == cells(FULL)[:COARSE]


def test_each_value_of_each_dimension_occurs_about_equally_often():
    made = cells(FULL)
    for field in Cell.__struct_fields__:
        values = [getattr(cell, field) for cell in made]
        counts = [values.count(value) for value in set(values)]
        if field not in ("workers", "capacity"):  # these come in pairs
            assert max(counts) - min(counts) <= 1, field


@pytest.mark.parametrize("cell", cells(COARSE), ids=lambda cell: cell.text())
def test_the_workload_of_a_cell_keeps_the_workers_as_busy_as_it_says(cell):
    workload = workload_of(cell, 1)
    work_s = sum(request.run_s for request in workload.requests)
    if cell.closed:
        think_s = sum(request.arrives for request in workload.requests) / len(workload.requests)
        rate = workload.producers / (think_s + work_s / len(workload.requests))
    else:
        rate = len(workload.requests) / workload.requests[-1].arrives
    use = rate * work_s / len(workload.requests) / cell.workers
    assert use == pytest.approx(cell.use, rel=0.5 if cell.traffic == "bursting" else 0.25)


def test_a_cell_is_measured_under_the_router_and_each_rule():
    small = next(cell for cell in cells(FULL) if cell.workers == 1 and cell.load_runs == 1)
    result = measure(small)
    assert set(result.mean_s) == {"labelbus", "now", "window 0", "reference", "random", "smart"}
    assert result.mean_ratio > 0
    assert "of 1 cells" in summary([result])


def test_the_command_writes_results_and_a_heat_map(tmp_path, monkeypatch):
    monkeypatch.setattr(__main__, "COARSE", 2)
    monkeypatch.setattr(__main__, "COARSE_PASSES", 2)
    result = CliRunner().invoke(__main__.main, ["--grid", "--quick", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert len(json.loads((tmp_path / "grid.json").read_text())) == 2
    assert (tmp_path / "grid.svg").exists()
    assert len(json.loads((tmp_path / "grid-passes.json").read_text())) == 2
    assert (tmp_path / "grid-passes.svg").exists()


def test_cells_with_passes_are_drawn_apart_and_hold_each_value_about_equally_often():
    made = pass_cells(PASSES)
    assert made[:COARSE_PASSES] == pass_cells(COARSE_PASSES)
    assert all(cell.pass_tasks == 1 and cell.unit_s == INFER_S for cell in cells(FULL))
    for field in ("use", "fixed_units", "load_runs", "closed", "beside"):
        values = [getattr(cell, field) for cell in made]
        counts = [values.count(value) for value in set(values)]
        assert max(counts) - min(counts) <= 1, field


@pytest.mark.parametrize("cell", pass_cells(COARSE_PASSES), ids=lambda cell: cell.text())
def test_the_use_of_a_cell_with_passes_is_the_share_of_full_ones(cell):
    workload = workload_of(cell, 1)
    full_s = cell.fixed_s / cell.pass_tasks + sum(r.run_s for r in workload.requests) / len(workload.requests)
    if cell.closed:
        think_s = sum(request.arrives for request in workload.requests) / len(workload.requests)
        rate = workload.producers / (think_s + INFER_S)
    else:
        rate = len(workload.requests) / workload.requests[-1].arrives
    assert rate * full_s / cell.workers == pytest.approx(cell.use, rel=0.5 if cell.traffic == "bursting" else 0.25)
