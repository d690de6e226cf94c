"""Task type `count_words`, for `labelbus worker --handlers word_counts` with this folder on PYTHONPATH.

curl -s localhost:8080/run-task -H 'content-type: application/json' \
     -d '{"task_type": "count_words", "label": "any/model", "parameters_json": {"texts": ["one two", "three"]}}'
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from bus.errors import BadParametersError
from labelbus import TaskContext, task_type


class Texts(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters; the worker checks them before the handler runs and answers 422 with the path of what does not fit."""

    texts: Annotated[list[str], Meta(min_length=1, max_length=1000)]


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Result, sent as JSON."""

    label: str
    words: list[int]


@task_type("count_words")
async def count_words(context: TaskContext, parameters: Texts) -> Counts:
    """Count the words of each text.

    The label is loaded by now: `context.runtime.run(context.label, tensors)` would run the model.
    """
    if any("\0" in text for text in parameters.texts):
        raise BadParametersError("texts must not contain NUL characters")
    return Counts(label=context.label, words=[len(text.split()) for text in parameters.texts])
