"""Runs of a model on the tensors of several tasks, joined along their first dimension where that is possible."""

from collections.abc import Sequence

import msgspec
import numpy as np

from bus.errors import DeadlineError, LabelbusError, RuntimeUnavailableError, WorkerError
from worker.runtimes.protocol import Tensors
from worker.tasks import TaskContext, pass_timeout_s

Kind = tuple[tuple[str, str, tuple[int, ...]], ...]
"""Names and types of inputs, and their shapes but for the first dimension."""


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """The tensors of one task, and the rows that its inputs all have; 0 if they differ in that, or have none."""

    context: TaskContext
    tensors: Tensors
    rows: int
    kind: Kind


def inputs_of(context: TaskContext, tensors: Tensors) -> Inputs:
    """Return a task's tensors with what decides with which others they can be joined."""
    rows = {array.shape[0] for array in tensors.values()}
    kind = tuple((name, array.dtype.str, array.shape[1:]) for name, array in sorted(tensors.items()))
    return Inputs(context=context, tensors=tensors, rows=rows.pop() if len(rows) == 1 else 0, kind=kind)


def joins(tasks: Sequence[Inputs], *, max_rows: int) -> list[list[int]]:
    """Return the positions of the tasks that run together, at most `max_rows` rows; with 0 each runs alone."""
    made: list[list[int]] = []
    last: dict[Kind, list[int]] = {}
    rows: dict[Kind, int] = {}
    for place, task in enumerate(tasks):
        join = last.get(task.kind)
        if join is None or not task.rows or rows[task.kind] + task.rows > max_rows:
            join = []
            made.append(join)
            if task.rows:
                last[task.kind] = join
                rows[task.kind] = 0
        join.append(place)
        if task.rows:
            rows[task.kind] += task.rows
    return made


async def run_joined(tasks: Sequence[Inputs | LabelbusError]) -> list[Tensors | LabelbusError]:
    """Return the outputs of each task of a label, or its error; a task that is an error already stays that.

    A joined run that the model refuses is run again task by task. Raises `RuntimeUnavailableError`, which concerns all.
    """
    results: list[Tensors | LabelbusError] = [task if isinstance(task, LabelbusError) else {} for task in tasks]
    places = [place for place, task in enumerate(tasks) if not isinstance(task, LabelbusError)]
    inputs = [task for task in tasks if not isinstance(task, LabelbusError)]
    max_rows = 0
    if len(inputs) > 1:
        context = inputs[0].context
        max_rows = await context.runtime.max_rows(context.label)
    for join in joins(inputs, max_rows=max_rows):
        outputs = await _run([inputs[index] for index in join])
        for index, output in zip(join, outputs, strict=True):
            results[places[index]] = output
    return results


async def _run(tasks: list[Inputs]) -> Sequence[Tensors | LabelbusError]:
    """Return the outputs of tasks that can be joined."""
    if len(tasks) > 1:
        joined = {name: np.concatenate([task.tensors[name] for task in tasks]) for name in tasks[0].tensors}
        try:
            outputs = await _outputs([task.context for task in tasks], joined)
            return _divided(outputs, [task.rows for task in tasks])
        except (RuntimeUnavailableError, DeadlineError):
            raise
        except LabelbusError:  # of one of the tasks, perhaps
            pass
    results: list[Tensors | LabelbusError] = []
    for task in tasks:
        try:
            results.append(await _outputs([task.context], task.tensors))
        except RuntimeUnavailableError:
            raise
        except LabelbusError as exc:
            results.append(exc)
    return results


async def _outputs(contexts: Sequence[TaskContext], tensors: Tensors) -> Tensors:
    context = contexts[0]
    return await context.runtime.run(context.label, tensors, timeout_s=pass_timeout_s(contexts))


def _divided(outputs: Tensors, rows: Sequence[int]) -> list[Tensors]:
    """Return the outputs of each task; `WorkerError` if an output has not one row for each of the inputs."""
    total = sum(rows)
    for name, array in outputs.items():
        if not array.ndim or array.shape[0] != total:
            raise WorkerError(f"output {name} has the shape {list(array.shape)} for {total} rows of input")
    ends = np.cumsum(rows)
    return [
        {name: array[end - count : end] for name, array in outputs.items()}
        for end, count in zip(ends, rows, strict=True)
    ]
