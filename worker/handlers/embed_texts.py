"""`embed_texts`: sentence embeddings of a list of texts."""

import time
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import orjson
from msgspec import Meta

from bus.errors import BadParametersError, WorkerError
from worker.non_finite import has_null
from worker.runtimes.protocol import Tensors
from worker.tasks import TaskContext, task_type
from worker.tokens import in_order

OUTPUT: Final = "sentence_embedding"


class EmbedTexts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Texts to embed; the worker's settings limit their number and their lengths."""

    texts: Annotated[list[str], Meta(min_length=1)]


@task_type("embed_texts")
async def embed_texts(context: TaskContext, parameters: EmbedTexts) -> bytes:
    """Return `{"embeddings": [[...], ...], "dim": 384}` in the order of the texts, each truncated as the model says."""
    check_texts(parameters.texts, max_texts=context.limits.max_texts, max_chars=context.limits.max_text_chars)
    batches = await context.tokens.encode(context.label, parameters.texts)
    outputs = []
    for batch in batches:
        began = time.perf_counter()
        tensors = await context.runtime.run(context.label, batch.inputs, timeout_s=context.timeout_s)
        context.tokens.observe(context.label, batch, time.perf_counter() - began)
        outputs.append(_embedding(context.label, tensors))
    embeddings = in_order(batches, outputs)
    output = orjson.dumps({"embeddings": embeddings, "dim": embeddings.shape[1]}, option=orjson.OPT_SERIALIZE_NUMPY)
    if has_null(output):
        raise _not_finite(context.label, embeddings)
    return output


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
