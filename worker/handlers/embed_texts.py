"""`embed_texts`: sentence embeddings of a list of texts."""

import time
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import orjson
from msgspec import Meta

from bus.errors import BadParametersError, LabelbusError, WorkerError
from worker.non_finite import has_null
from worker.runtimes.protocol import Tensors
from worker.tasks import TaskContext, pass_timeout_s, task_type
from worker.tokens import in_order

OUTPUT: Final = "sentence_embedding"

_NONE: Final = np.empty((0, 0), np.float32)


class EmbedTexts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Texts to embed; the worker's settings limit their number and their lengths."""

    texts: Annotated[list[str], Meta(min_length=1)]


class Embeddings:
    """Embeddings of the texts of one task, [texts, dim]."""

    __slots__ = ("_embeddings", "_label")

    def __init__(self, label: str, embeddings: "np.ndarray[Any, np.dtype[Any]]") -> None:
        self._label = label
        self._embeddings = embeddings

    def to_json(self) -> bytes:
        """Return `{"embeddings": [[...], ...], "dim": 384}`; `WorkerError` for NaN and infinity."""
        embeddings = self._embeddings
        output = orjson.dumps({"embeddings": embeddings, "dim": embeddings.shape[1]}, option=orjson.OPT_SERIALIZE_NUMPY)
        if has_null(output):
            raise _not_finite(self._label, embeddings)
        return output


@task_type("embed_texts", passes=True)
async def embed_texts(contexts: list[TaskContext], parameters: list[EmbedTexts]) -> list[Embeddings | LabelbusError]:
    """Return the embeddings of each task in the order of its texts, each text truncated as the model says.

    The texts of all tasks are sorted by length together. A task with too many texts, or with one too long, fails alone.
    """
    answers: list[Embeddings | LabelbusError] = []
    refusals = [_refusal(*task) for task in zip(contexts, parameters, strict=True)]
    texts = [text for task, refusal in zip(parameters, refusals, strict=True) if refusal is None for text in task.texts]
    embeddings = await _embed(contexts, texts) if texts else _NONE
    begin = 0
    for task, refusal in zip(parameters, refusals, strict=True):
        if refusal is not None:
            answers.append(refusal)
            continue
        end = begin + len(task.texts)
        answers.append(Embeddings(contexts[0].label, embeddings[begin:end]))
        begin = end
    return answers


async def _embed(contexts: list[TaskContext], texts: list[str]) -> "np.ndarray[Any, np.dtype[Any]]":
    """Return the embeddings of texts, in their order."""
    context = contexts[0]
    label = context.label
    batches = await context.tokens.encode(label, texts)
    outputs = []
    for batch in batches:
        began = time.perf_counter()
        tensors = await context.runtime.run(label, batch.inputs, timeout_s=pass_timeout_s(contexts))
        context.tokens.observe(label, batch, time.perf_counter() - began)
        outputs.append(_embedding(label, tensors))
    return in_order(batches, outputs)


def check_texts(texts: list[str], *, max_texts: int, max_chars: int) -> None:
    """Raise `BadParametersError` if there are too many texts or one is too long."""
    if len(texts) > max_texts:
        raise BadParametersError(
            f"{len(texts):,} texts in one task; at most {max_texts:,} are allowed: send them in several tasks"
        )
    for index, text in enumerate(texts):
        if len(text) > max_chars:
            raise BadParametersError(
                f"text {index} has {len(text):,} characters; at most {max_chars:,} are allowed, and models read far "
                "fewer: shorten it, or send it in parts"
            )


def _refusal(context: TaskContext, task: EmbedTexts) -> LabelbusError | None:
    """Return the error of a task whose texts are too many or too long."""
    try:
        check_texts(task.texts, max_texts=context.limits.max_texts, max_chars=context.limits.max_text_chars)
    except BadParametersError as exc:
        return exc
    return None


def _embedding(label: str, tensors: Tensors) -> "np.ndarray[Any, np.dtype[Any]]":
    found = tensors.get(OUTPUT)
    if found is None or found.ndim != 2:
        raise WorkerError(f"{label} is not an embedding model: it has no two-dimensional output {OUTPUT}; use infer")
    return found


def _not_finite(label: str, embeddings: "np.ndarray[Any, np.dtype[Any]]") -> WorkerError:
    row, column = np.argwhere(~np.isfinite(embeddings))[0]
    return WorkerError(
        f"{label} computed {embeddings[row, column]} for text {row}, at `$.embeddings[{row}][{column}]`: the model is "
        "broken, or the text is out of its range"
    )
