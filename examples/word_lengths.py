"""Task type `word_lengths`, whose tasks share passes.

For `labelbus worker --handlers word_lengths` with this folder on PYTHONPATH.

curl -s localhost:8080/run-task -H 'content-type: application/json' \
     -d '{"task_type": "word_lengths", "label": "any/model", "parameters_json": {"words": ["one", "three"]}}'
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from bus.errors import BadParametersError
from labelbus import TaskContext, task_type


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of one task."""

    words: Annotated[list[str], Meta(min_length=1, max_length=1000)]


class Lengths(msgspec.Struct, frozen=True, kw_only=True):
    """Result of one task; `shared` is the number of tasks in the pass."""

    lengths: list[int]
    shared: int


@task_type("word_lengths", passes=True)
async def word_lengths(contexts: list[TaskContext], parameters: list[Words]) -> list[Lengths | Exception]:
    """Measure the words of all tasks in one go; a task with an empty word fails alone.

    The label is loaded by now. A model would run on all words at once:
    `await contexts[0].runtime.run(contexts[0].label, tensors, timeout_s=pass_timeout_s(contexts))`.
    """
    measured = iter([len(word) for task in parameters for word in task.words])
    answers: list[Lengths | Exception] = []
    for task in parameters:
        lengths = [next(measured) for _ in task.words]
        if 0 in lengths:
            answers.append(BadParametersError(f"word {lengths.index(0)} is empty"))
        else:
            answers.append(Lengths(lengths=lengths, shared=len(contexts)))
    return answers
