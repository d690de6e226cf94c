import pytest

from bench.throughput.report import (
    BY_LENGTH,
    IN_PROCESS,
    LABELBUS,
    ONE_AT_A_TIME,
    PATH,
    TRITON,
    Cell,
    MeasuredLeg,
    real_verdicts,
    simulated_verdicts,
    summarise,
)

AT_16 = Cell(name="16 clients", clients=16)
MIXED = Cell(name="4 × 32", clients=4, texts_per_task=32)


def leg(cell: Cell, side: str, tasks: int, ms: float = 5.0) -> MeasuredLeg:
    return MeasuredLeg(cell=cell, side=side, seconds=2.0, latencies_ms=[ms] * tasks, cpu_s={"worker": 0.1 * tasks})


def test_a_row_has_the_medians_of_the_legs_of_one_side():
    rows = summarise([leg(MIXED, LABELBUS, 2), leg(MIXED, TRITON, 1), leg(MIXED, LABELBUS, 4), leg(MIXED, LABELBUS, 3)])
    assert [(row.side, row.legs, row.tasks) for row in rows] == [(LABELBUS, 3, 9), (TRITON, 1, 1)]
    assert (rows[0].texts_per_s_least, rows[0].texts_per_s, rows[0].texts_per_s_most) == (32, 48, 64)
    assert rows[0].cpu_ms == {"worker": pytest.approx(100 / 32)}


def test_sides_are_compared_round_by_round():
    measured = [
        *(leg(AT_16, LABELBUS, 96), leg(AT_16, TRITON, 100), leg(AT_16, IN_PROCESS, 120)),
        *(leg(AT_16, IN_PROCESS, 60), leg(AT_16, TRITON, 50), leg(AT_16, LABELBUS, 48)),
    ]
    verdicts = {verdict.name: verdict for verdict in real_verdicts(measured)}
    of_triton = verdicts["rate at 16 clients × 1, of tritonclient's"]
    assert of_triton.value == pytest.approx(96)
    assert of_triton.met
    in_process = verdicts["rate at 16 clients × 1, of in process's"]
    assert in_process.value == pytest.approx(80)
    assert in_process.met is False


def test_few_clients_have_no_bar_but_mixed_texts_do():
    one = Cell(name="1 client", clients=1)
    measured = [
        leg(one, LABELBUS, 10, 9.0),
        leg(one, TRITON, 40, 7.0),
        leg(MIXED, LABELBUS, 9),
        leg(MIXED, BY_LENGTH, 10),
    ]
    found = {verdict.name: verdict for verdict in real_verdicts(measured)}
    values = {name: verdict.value for name, verdict in found.items()}
    assert values == pytest.approx(
        {
            "rate at 1 clients × 1, of tritonclient's": 25,
            "p50 at 1 clients × 1, above tritonclient's": 2,
            f"rate at 4 clients × 32, of {BY_LENGTH}'s": 90,
        }
    )
    assert [verdict.met for verdict in found.values()] == [None, None, True]


def test_passes_are_held_to_the_law_or_the_path_whichever_is_less():
    many = Cell(name="20 labels", clients=64)
    measured = [
        *(leg(AT_16, LABELBUS, 5600), leg(AT_16, ONE_AT_A_TIME, 240), leg(AT_16, PATH, 9000)),
        *(leg(many, LABELBUS, 4000, 5.0), leg(many, ONE_AT_A_TIME, 1000, 9.0)),
    ]
    found = {verdict.name: verdict for verdict in simulated_verdicts(measured, run_ms=8, item_ms=0.2, pass_tasks=64)}
    assert found["16 clients: rate, of law or path"].value == pytest.approx(100 * 2800 / 3076.9, rel=1e-3)
    assert found["16 clients: rate, of law or path"].met
    assert found["16 clients: gain of passes"].met is None
    assert not found["20 labels: gain of passes"].met
    assert found["20 labels: p99, of one at a time"].met
