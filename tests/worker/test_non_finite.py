"""NaN and infinity in answers: errors that name the place, since JSON has no such numbers."""

import dataclasses
import json
import math
from typing import Any, cast

import msgspec
import numpy as np
import orjson
import pytest

from bus.errors import WorkerError
from tests.worker.alone import alone
from worker.handlers.embed_texts import EmbedTexts, embed_texts
from worker.handlers.infer import Infer, infer
from worker.non_finite import path_of_non_finite
from worker.runtimes.protocol import Tensors
from worker.tasks import Limits, TaskContext, task_type
from worker.tokens import TokenBatch


class Scores(msgspec.Struct, rename="camel"):
    top_scores: list[float | None]


@dataclasses.dataclass
class Plain:
    value: float


@task_type("score")
async def score(context: TaskContext, parameters: Any) -> Any: ...


@pytest.mark.parametrize(
    ("answer", "path"),
    [
        (math.nan, "$"),
        ([1.0, -math.inf], "$[1]"),
        ({"scores": [0.0, None, 1.5, math.nan]}, "$.scores[3]"),
        (Scores([1.0, math.inf]), "$.topScores[1]"),
        (Plain(math.nan), "$.value"),
        ({"a": ({"b c": math.nan},)}, '$.a[0]["b c"]'),
        ({7: math.nan}, '$["7"]'),
        ([None, msgspec.Raw(b"null"), math.nan], "$[2]"),
    ],
)
def test_a_number_that_json_has_not_is_an_error_with_its_path(answer, path):
    with pytest.raises(WorkerError) as caught:
        score.encode(answer)
    assert f"score returned a number that is NaN or infinite at `{path}`" in str(caught.value)
    assert caught.value.code == "worker_failed"


@pytest.mark.parametrize(
    "answer", [None, [None, 1.0], {"null": "null"}, Scores([None]), "null", [msgspec.Raw(b"null")]]
)
def test_null_that_was_meant_stays(answer):
    assert score.encode(answer) == msgspec.json.encode(answer)


@pytest.mark.parametrize("text", ["NaN", "Infinity, and -Infinity"])
def test_the_words_in_texts_are_no_numbers(text):
    own = json.dumps({"text": text}).encode()
    assert score.encode(own) == own


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (json.dumps({"scores": [1.0, math.nan]}).encode(), r"at `\$\.scores\[1\]`"),
        (json.dumps(-math.inf).encode(), r"at `\$`"),
        (b'{"a": NaN', "not JSON"),
    ],
)
def test_the_same_holds_for_json_that_a_handler_makes_itself(output, says):
    with pytest.raises(WorkerError, match=says):
        score.encode(output)


def test_of_several_the_first_in_the_outermost_container_is_named():
    assert path_of_non_finite({"a": [[math.nan]], "b": math.nan}) == "$.b"
    assert path_of_non_finite({"a": [[math.nan]], "b": [math.nan]}) == "$.a[0][0]"
    assert path_of_non_finite({"a": [1, "x", None, True]}) == ""


class FakeModel:
    """Outputs that a broken model would give; the runtime and the tokenizer of a context."""

    def __init__(self, **outputs: Any) -> None:
        self.outputs: Tensors = outputs

    async def run(self, label: str, inputs: Tensors, *, timeout_s: float | None = None) -> Tensors:
        return self.outputs

    async def encode(self, label: str, texts: list[str]) -> list[TokenBatch]:
        return [TokenBatch(inputs={}, rows=tuple(reversed(range(len(texts)))))]

    def observe(self, label: str, batch: TokenBatch, seconds: float) -> None: ...

    def context(self) -> TaskContext:
        model = cast(Any, self)
        return TaskContext(task_id="t", label="org/one", runtime=model, tokens=model, limits=Limits())


@pytest.mark.parametrize("value", [math.nan, math.inf])
async def test_embed_texts_never_gives_one_and_names_the_text(value):
    embeddings = np.ones((3, 4), np.float32)
    embeddings[0, 2] = value  # the rows of the batch are those of the texts in reverse
    with pytest.raises(WorkerError, match=r"org/one computed (nan|inf) for text 2, at `\$\.embeddings\[2\]\[2\]`"):
        await alone(embed_texts, FakeModel(sentence_embedding=embeddings).context(), EmbedTexts(texts=["a", "b", "c"]))
    embeddings[0, 2] = 0.5
    answer = await alone(
        embed_texts, FakeModel(sentence_embedding=embeddings).context(), EmbedTexts(texts=["a", "b", "c"])
    )
    assert orjson.loads(answer)["embeddings"][2] == [1.0, 1.0, 0.5, 1.0]


INPUTS = msgspec.convert({"inputs": [{"name": "x", "shape": [1], "datatype": "INT8", "data": [1]}]}, Infer)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
async def test_infer_never_gives_one_and_names_the_output(kind):
    wrong = np.array([[1.0, 2.0], [math.nan, 3.0]], kind)
    model = FakeModel(label=np.array([b"null"], object), scores=wrong)
    with pytest.raises(WorkerError, match=r"in its output scores, at `\$\.outputs\[1\]\.data\[2\]`"):
        await alone(infer, model.context(), INPUTS)


async def test_infer_gives_back_a_text_that_reads_null():
    answer = await alone(infer, FakeModel(label=np.array([b"null"], object)).context(), INPUTS)
    assert orjson.loads(answer)["outputs"][0]["data"] == ["null"]
