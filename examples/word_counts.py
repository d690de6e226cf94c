"""A task type of one's own, for `labelbus worker --handlers word_counts` with this folder on PYTHONPATH.

curl -s localhost:8080/run-task -H 'content-type: application/json' \
     -d '{"task_type": "count_words", "label": "any/model", "parameters_json": {"texts": ["one two", "three"]}}'
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from bus.errors import BadParametersError
from labelbus import TaskContext, task_type


class Texts(msgspec.Struct, frozen=True, kw_only=True):
    """What the task takes: checked before the handler runs, a 422 with the path if it does not fit."""

    texts: Annotated[list[str], Meta(min_length=1, max_length=1000)]


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What it gives, as JSON."""

    label: str
    words: list[int]


@task_type("count_words")
async def count_words(context: TaskContext, parameters: Texts) -> Counts:
    """Words of each text. The label is loaded by now: `context.runtime.run(context.label, tensors)` would use it."""
    if any("\0" in text for text in parameters.texts):
        raise BadParametersError("texts with NUL characters are not counted")
    return Counts(label=context.label, words=[len(text.split()) for text in parameters.texts])
