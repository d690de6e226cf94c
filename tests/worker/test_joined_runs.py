"""Runs that join the tensors of several tasks: answers as alone, within the model's rows, each its own error."""

from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import BadParametersError, LabelbusError, RuntimeUnavailableError
from worker.joined_runs import Inputs, inputs_of, joins, run_joined
from worker.runtimes.protocol import Tensors
from worker.tasks import TaskContext


class Doubler:
    """A model that doubles x and refuses negative numbers; `ran` has the rows of each run."""

    def __init__(self, *, max_rows: int = 8, whole: bool = False, away: bool = False) -> None:
        self._max_rows = max_rows
        self._whole = whole
        self._away = away
        self.ran: list[int] = []

    async def max_rows(self, label: str) -> int:
        return self._max_rows

    async def run(self, label: str, inputs: Tensors, *, timeout_s: float | None) -> Tensors:
        x: Any = inputs["x"]
        self.ran.append(len(x))
        if self._away:
            raise RuntimeUnavailableError("away")
        if (x < 0).any():
            raise BadParametersError("negative")
        return {"sum": x.sum(keepdims=True)[0]} if self._whole else {"y": 2 * x, "same": x}


def task(model: Doubler, *values: float, columns: int = 1) -> Inputs:
    context = TaskContext(
        task_id="t", label="a", runtime=cast(Any, model), tokens=cast(Any, None), limits=cast(Any, None)
    )
    rows = np.array(values, np.float32).reshape(-1, 1).repeat(columns, axis=1)
    return inputs_of(context, {"x": rows})


def first_columns(results: list[Tensors | LabelbusError]) -> list[Any]:
    return [result if isinstance(result, LabelbusError) else result["y"][:, 0].tolist() for result in results]


async def test_tasks_alike_share_a_run_and_each_gets_its_own_rows():
    model = Doubler()
    results = await run_joined([task(model, 1), task(model, 2, 3), task(model, 4)])
    assert first_columns(results) == [[2], [4, 6], [8]]
    assert model.ran == [4]


async def test_tasks_of_other_shapes_run_in_runs_of_their_own():
    model = Doubler()
    results = await run_joined([task(model, 1), task(model, 2, columns=2), task(model, 3), task(model, 4, columns=2)])
    assert first_columns(results) == [[2], [4], [6], [8]]
    assert model.ran == [2, 2]


async def test_no_run_has_more_rows_than_the_model_takes():
    model = Doubler(max_rows=4)
    results = await run_joined([task(model, *range(3)), task(model, 5, 6), task(model, 7), task(model, *range(9))])
    assert first_columns(results)[:3] == [[0, 2, 4], [10, 12], [14]]
    assert model.ran == [3, 3, 9]


async def test_a_model_without_a_batch_runs_them_one_by_one():
    model = Doubler(max_rows=0)
    assert first_columns(await run_joined([task(model, 1), task(model, 2)])) == [[2], [4]]
    assert model.ran == [1, 1]


async def test_a_run_that_is_refused_runs_again_task_by_task():
    model = Doubler()
    good, bad, other = first_columns(await run_joined([task(model, 1), task(model, -2), task(model, 3)]))
    assert (good, other) == ([2], [6])
    assert isinstance(bad, BadParametersError)
    assert model.ran == [3, 1, 1, 1]


async def test_outputs_that_are_not_by_row_are_asked_for_task_by_task():
    model = Doubler(whole=True)
    results = await run_joined([task(model, 1, 2), task(model, 3)])
    assert [cast(Tensors, result)["sum"].tolist() for result in results] == [[3.0], [3.0]]
    assert model.ran == [3, 2, 1]


async def test_a_runtime_that_is_away_is_away_for_all():
    model = Doubler(away=True)
    with pytest.raises(RuntimeUnavailableError):
        await run_joined([task(model, 1), task(model, 2)])
    assert model.ran == [2]


async def test_a_task_that_is_an_error_stays_one():
    model = Doubler()
    error = BadParametersError("no tensors")
    assert first_columns(await run_joined([error, task(model, 1), error])) == [error, [2], error]
    assert await run_joined([error]) == [error]


def test_inputs_that_differ_in_their_rows_are_joined_with_no_others():
    context = cast(Any, None)
    uneven = inputs_of(context, {"x": np.zeros((2, 1)), "y": np.zeros((3, 1))})
    assert uneven.rows == 0
    assert joins([uneven, uneven], max_rows=8) == [[0], [1]]


@given(tasks=st.lists(st.tuples(st.integers(0, 5), st.sampled_from([1, 2])), max_size=30), max_rows=st.integers(0, 12))
def test_each_task_is_in_one_run_with_others_like_it_and_within_the_rows(
    tasks: list[tuple[int, int]], max_rows: int
) -> None:
    inputs = [inputs_of(cast(Any, None), {"x": np.zeros(shape, np.float32)}) for shape in tasks]
    made = joins(inputs, max_rows=max_rows)
    assert sorted(place for join in made for place in join) == list(range(len(tasks)))
    for join in made:
        assert len({inputs[place].kind for place in join}) == 1
        if len(join) > 1:
            assert sum(inputs[place].rows for place in join) <= max_rows
            assert all(inputs[place].rows for place in join)
