"""Passes of real models: several tasks in one pass have the answers that each has alone."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from bus.errors import BadParametersError
from tests.minilm import MINILM, ConvertedMinilm
from tests.worker.alone import alone
from worker.handlers.embed_texts import EmbedTexts, embed_texts
from worker.handlers.infer import infer
from worker.runtimes.factory import make_runtime
from worker.runtimes.protocol import Runtime, Tensors
from worker.runtimes.settings import RuntimeSettings
from worker.tasks import Limits, TaskContext, TaskType
from worker.tokens import Tokens

SENTENCE = "A worker that holds the model answers at once, and the others wait for it. "

TEXTS = [
    ["Beans climb up anything.", "No."],
    [SENTENCE * 12, "größer", SENTENCE],
    ["The train to Lyon leaves from platform nine."],
    [SENTENCE * count for count in range(1, 40)],
]


@pytest.fixture(params=[pytest.param("triton", marks=pytest.mark.triton), "onnx"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "triton":
        request.getfixturevalue("triton_files")
    return str(request.param)


class Counted:
    """A runtime whose runs are counted."""

    def __init__(self, runtime: Runtime, repository: Path) -> None:
        self._runtime = runtime
        self.tokens = Tokens(repository)
        self.runs = 0
        self.max_rows = runtime.max_rows

    async def run(self, label: str, inputs: Tensors, *, timeout_s: float | None = None) -> Tensors:
        self.runs += 1
        return await self._runtime.run(label, inputs, timeout_s=timeout_s)

    def context(self, label: str, **limits: int) -> TaskContext:
        runtime: Any = self
        return TaskContext(task_id="t", label=label, runtime=runtime, tokens=self.tokens, limits=Limits(**limits))


async def serving(kind: str, repository: Path, label: str) -> AsyncIterator[Counted]:
    runtime = make_runtime(RuntimeSettings(runtime=kind, model_repository=repository, triton_grace_s=0.1))
    await runtime.start()
    await runtime.load(label)
    yield Counted(runtime, repository)
    await runtime.stop()


@pytest.fixture
async def embedding(kind: str, minilm: ConvertedMinilm) -> AsyncIterator[Counted]:
    assert minilm.entry.graph.exists()
    async for counted in serving(kind, minilm.repository, MINILM):
        yield counted


@pytest.fixture
async def model(kind: str, repository: Path) -> AsyncIterator[Counted]:
    async for counted in serving(kind, repository, "org/one"):
        yield counted


def embeddings(output: bytes) -> Any:
    answer = orjson.loads(output)
    assert answer["dim"] == 384
    return np.array(answer["embeddings"])


def encoded(task_type: TaskType, answers: list[Any]) -> list[bytes]:
    return [task_type.encode(answer) for answer in answers]


@pytest.mark.model
async def test_texts_of_several_tasks_have_the_embeddings_that_they_have_alone(embedding: Counted) -> None:
    context = embedding.context(MINILM)
    tasks = [EmbedTexts(texts=texts) for texts in TEXTS]
    separate = [embeddings(await alone(embed_texts, context, task)) for task in tasks]
    together = encoded(embed_texts, await embed_texts.run([context] * len(tasks), tasks))
    for texts, one, other in zip(TEXTS, separate, map(embeddings, together), strict=True):
        assert len(texts) == len(other)
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.model
async def test_texts_of_one_length_share_a_run_whatever_task_they_are_of(embedding: Counted) -> None:
    tasks = [EmbedTexts(texts=["No."]) for _ in range(8)]
    answers = await embed_texts.run([embedding.context(MINILM)] * 8, tasks)
    assert embedding.runs == 1
    assert len(answers) == 8


@pytest.mark.model
async def test_a_task_with_too_many_texts_or_one_too_long_fails_alone(embedding: Counted) -> None:
    context = embedding.context(MINILM, max_texts=2, max_text_chars=100)
    tasks = [EmbedTexts(texts=texts) for texts in (["a", "b", "c"], ["a"], ["x" * 101], ["b"])]
    many, one, long, other = await embed_texts.run([context] * 4, tasks)
    assert isinstance(many, BadParametersError)
    assert isinstance(long, BadParametersError)
    assert embeddings(embed_texts.encode(one)).shape == embeddings(embed_texts.encode(other)).shape == (1, 384)
    assert all(isinstance(answer, BadParametersError) for answer in await embed_texts.run([context] * 2, tasks[::2]))


def request(*rows: list[int]) -> Any:
    tensors = [
        {"name": name, "shape": [len(rows), len(rows[0])], "datatype": "INT64", "data": data}
        for name, data in (("input_ids", [*rows]), ("attention_mask", [[1] * len(row) for row in rows]))
    ]
    return infer.decode(orjson.dumps({"inputs": tensors}))


async def test_tensors_of_several_tasks_have_the_outputs_that_they_have_alone(model: Counted) -> None:
    context = model.context("org/one")
    tasks = [request([1, 2, 3]), request([4, 5, 6], [7, 8, 9]), request([10, 11]), request([12, 13, 14])]
    separate = [orjson.loads(await alone(infer, context, task)) for task in tasks]
    model.runs = 0
    together = [orjson.loads(output) for output in encoded(infer, await infer.run([context] * 4, tasks))]
    assert model.runs == 2, "one for each number of columns"
    for one, other in zip(separate, together, strict=True):
        (wanted,), (found,) = one["outputs"], other["outputs"]
        assert found["shape"] == wanted["shape"]
        np.testing.assert_allclose(found["data"], wanted["data"], atol=1e-6)


async def test_a_task_that_the_model_refuses_fails_alone(model: Counted) -> None:
    context = model.context("org/one")
    wrong = infer.decode(
        orjson.dumps({"inputs": [{"name": "input_ids", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]})
    )
    uneven = infer.decode(
        orjson.dumps({"inputs": [{"name": "input_ids", "shape": [1, 2], "datatype": "INT64", "data": [1, 2, 3]}]})
    )
    good, refused, misshapen, other = await infer.run(
        [context] * 4, [request([1, 2, 3]), wrong, uneven, request([1, 2, 3])]
    )
    assert infer.encode(good) == infer.encode(other)
    assert isinstance(refused, BadParametersError)
    assert isinstance(misshapen, BadParametersError)
