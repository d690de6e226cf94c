"""Promises of every runtime that runs models: the same tensors, the same errors."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import uvloop

from bus.errors import BadParametersError, DeadlineError, LoadError, RuntimeUnavailableError, UnknownModelError
from worker.local_triton.files import LocalTritonFiles
from worker.runtimes.factory import make_runtime
from worker.runtimes.protocol import Runtime, Tensors
from worker.runtimes.settings import RuntimeSettings

Array = npt.NDArray[Any]


@pytest.fixture(params=[pytest.param("triton", marks=pytest.mark.triton), "onnx"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "triton":
        request.getfixturevalue("triton_files")
    return str(request.param)


@pytest.fixture
async def runtime(kind: str, repository: Path) -> AsyncIterator[Runtime]:
    runtime = make_runtime(RuntimeSettings(runtime=kind, model_repository=repository, triton_grace_s=0.1))
    await runtime.start()
    yield runtime
    await runtime.stop()


def tokens(rows: int, length: int, *, seed: int = 0, dtype: type = np.int64) -> Tensors:
    random = np.random.default_rng(seed)
    ids: Array = random.integers(0, 50, (rows, length)).astype(dtype)
    mask: Array = np.ones((rows, length), dtype)
    mask[:, max(1, length - seed % 3) :] = 0
    return {"input_ids": ids, "attention_mask": mask}


def assert_same(answer: Array, expected: Array) -> None:
    np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=1e-6)


async def test_it_is_called_what_the_registry_says(runtime: Runtime, kind: str) -> None:
    assert runtime.name == kind


@pytest.mark.parametrize(("rows", "length"), [(1, 1), (1, 7), (8, 16), (3, 300)])
async def test_a_loaded_label_runs(runtime: Runtime, embed: Callable[..., Array], rows: int, length: int) -> None:
    await runtime.load("org/one")

    outputs = await runtime.run("org/one", tokens(rows, length), timeout_s=60)

    assert outputs.keys() == {"sentence_embedding"}
    assert outputs["sentence_embedding"].dtype == np.float32
    assert_same(outputs["sentence_embedding"], embed(**tokens(rows, length)))


async def test_requests_in_flight_together_each_get_their_own_answer(
    runtime: Runtime, embed: Callable[..., Array]
) -> None:
    await asyncio.gather(runtime.load("org/one"), runtime.load("org/two"))
    requests = [
        (label, tokens(rows, length, seed=seed))
        for seed, (label, rows, length) in enumerate(
            [("org/one", 1, 5), ("org/two", 1, 5), ("org/one", 3, 5), ("org/one", 2, 9), ("org/two", 8, 2)] * 6
        )
    ]

    answers = await asyncio.gather(*(runtime.run(label, inputs) for label, inputs in requests))

    for (_, inputs), answer in zip(requests, answers, strict=True):
        assert_same(answer["sentence_embedding"], embed(**inputs))


async def test_the_rows_of_a_run_are_those_of_the_entry_as_it_is_loaded(runtime: Runtime, repository: Path) -> None:
    await runtime.load("org/one")
    assert await runtime.max_rows("org/one") == 8

    config = repository / "org--one" / "config.pbtxt"
    config.write_text(config.read_text().replace("max_batch_size: 8", "max_batch_size: 4"))
    assert await runtime.max_rows("org/one") == 8, "until it is loaded again"

    await runtime.unload("org/one")
    await runtime.load("org/one")
    assert await runtime.max_rows("org/one") == 4


async def test_text_goes_in_and_out_as_bytes(
    runtime: Runtime, write_entry: Callable[..., Any], text_entry: dict[str, Any]
) -> None:
    write_entry("text", **text_entry)
    await runtime.load("text")
    text = np.array([["größer".encode(), b""], [b"one", "日本".encode()]], dtype=np.object_)

    outputs = await runtime.run("text", {"text": text})

    assert outputs["same"].tolist() == text.tolist()


async def test_a_label_without_an_entry_is_unknown(runtime: Runtime) -> None:
    with pytest.raises(UnknownModelError, match="org/none"):
        await runtime.load("org/none")


@pytest.mark.parametrize("fault", ["graph", "config", "output", "no graph"])
async def test_an_entry_that_is_broken_fails_to_load_and_disturbs_no_other(
    runtime: Runtime, write_entry: Callable[..., Any], wrong_output_config: str, fault: str
) -> None:
    given: dict[str, dict[str, Any]] = {
        "graph": {"graph": b"not a graph"},
        "config": {"config": "backend: {"},
        "output": {"config": wrong_output_config},
        "no graph": {},
    }
    entry = write_entry("broken", **given[fault])
    if fault == "no graph":
        entry.graph.unlink()

    with pytest.raises(LoadError, match="broken"):
        await runtime.load("broken")

    await runtime.load("org/one")
    await runtime.run("org/one", tokens(1, 4))


async def test_a_broken_entry_can_be_mended_and_loaded(runtime: Runtime, write_entry: Callable[..., Any]) -> None:
    entry = write_entry("mended", graph=b"not a graph")
    with pytest.raises(LoadError):
        await runtime.load("mended")
    entry.graph.write_bytes((entry.root / "org--one" / "1" / "model.onnx").read_bytes())

    await runtime.load("mended")

    assert len((await runtime.run("mended", tokens(2, 4)))["sentence_embedding"]) == 2


BAD_INPUTS = {
    "more rows than max_batch_size": tokens(9, 4),
    "no rows": tokens(0, 4),
    "an input is missing": {"input_ids": tokens(1, 4)["input_ids"]},
    "an input too many": {**tokens(1, 4), "other": np.zeros((1, 4), np.int64)},
    "another type": tokens(1, 4, dtype=np.int32),
    "a type that nobody knows": {**tokens(1, 4), "input_ids": np.zeros((1, 4), np.complex64)},
    "one dimension too few": {name: array[0] for name, array in tokens(1, 4).items()},
    "another number of rows in each": {**tokens(2, 4), "attention_mask": np.ones((1, 4), np.int64)},
    "a token id past the vocabulary": {**tokens(1, 4), "input_ids": np.full((1, 4), 10**6)},
}


@pytest.mark.parametrize("inputs", BAD_INPUTS.values(), ids=BAD_INPUTS.keys())
async def test_inputs_that_the_model_cannot_take_are_bad_parameters(runtime: Runtime, inputs: Tensors) -> None:
    await runtime.load("org/one")

    with pytest.raises(BadParametersError):
        await runtime.run("org/one", inputs)

    await runtime.run("org/one", tokens(1, 4))


async def test_a_bad_request_does_not_fail_those_that_run_with_it(
    runtime: Runtime, embed: Callable[..., Array]
) -> None:
    await runtime.load("org/one")
    inputs = [tokens(1, 4, seed=seed) for seed in range(6)]
    inputs[2]["input_ids"][0, 1] = 10**6

    answers = await asyncio.gather(*(runtime.run("org/one", each) for each in inputs), return_exceptions=True)

    assert [type(answer) for answer in answers] == [dict, dict, BadParametersError, dict, dict, dict]
    for index in (0, 1, 3, 4, 5):
        answer = answers[index]
        assert isinstance(answer, dict)
        assert_same(answer["sentence_embedding"], embed(**inputs[index]))


async def test_a_run_past_its_time_ends_with_a_deadline_error(runtime: Runtime) -> None:
    await runtime.load("org/one")

    with pytest.raises(DeadlineError):
        await runtime.run("org/one", tokens(8, 300), timeout_s=0)

    await runtime.run("org/one", tokens(1, 4))


async def test_a_label_that_is_unloaded_does_not_run_until_it_is_loaded_again(runtime: Runtime) -> None:
    await runtime.load("org/one")
    await runtime.unload("org/one")
    with pytest.raises(RuntimeUnavailableError, match="org/one"):
        await runtime.run("org/one", tokens(1, 4))

    await runtime.load("org/one")

    await runtime.run("org/one", tokens(1, 4))


async def test_unloading_what_is_not_loaded_is_no_error(runtime: Runtime) -> None:
    await runtime.unload("org/none")
    await runtime.unload("org/one")


async def test_it_can_be_stopped_twice_and_started_again(kind: str, repository: Path) -> None:
    runtime = make_runtime(RuntimeSettings(runtime=kind, model_repository=repository, triton_grace_s=0.1))
    await runtime.stop()
    for _ in range(2):
        await runtime.start()
        await runtime.load("org/one")
        await runtime.run("org/one", tokens(1, 4))
        await runtime.stop()
        await runtime.stop()
    with pytest.raises(RuntimeUnavailableError):
        await runtime.load("org/one")


def test_it_works_under_uvloop(kind: str, repository: Path) -> None:
    async def body() -> None:
        runtime = make_runtime(RuntimeSettings(runtime=kind, model_repository=repository, triton_grace_s=0.1))
        await runtime.start()
        await runtime.load("org/one")
        await asyncio.gather(*(runtime.run("org/one", tokens(2, 4)) for _ in range(10)))
        await runtime.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(body())


@pytest.mark.triton
async def test_auto_is_triton_where_there_is_one(triton_files: LocalTritonFiles, repository: Path) -> None:
    assert make_runtime(RuntimeSettings(model_repository=repository)).name == "triton"
