import asyncio
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
from tokenizers import Tokenizer

from bus.errors import (
    BadParametersError,
    ConflictError,
    DeadlineError,
    InvalidInputError,
    WorkerError,
)
from bus.messages import ConvertRequest
from bus.model_repository import ModelEntry
from converter.conversion import convert
from converter.events import Step
from converter.publish import recover
from converter.settings import ConversionLimits
from converter.source import FolderModel
from tests.converter.conftest import alive, exporting, listing, wait_until

ENTRY = ["acme--tiny", *(f"acme--tiny/{name}" for name in ("1", "1/model.onnx", "config.pbtxt", "labelbus.json"))]
ENTRY += ["acme--tiny/tokenizer.json"]


def ignore(_step: Step) -> None:
    pass


def of(folder):
    return FolderModel("acme/tiny", folder)


async def run(folder, root, *, on_step=ignore, timeout_s=110.0, max_batch_size=8):
    request = ConvertRequest(model_id=str(folder), max_batch_size=max_batch_size, overwrite=False)
    limits = ConversionLimits(conversion_timeout_s=timeout_s)
    return await convert(request, of(folder), root, limits, on_step)


def embed(entry: ModelEntry, texts):
    encodings = Tokenizer.from_file(str(entry.tokenizer)).encode_batch(texts)
    session = onnxruntime.InferenceSession(str(entry.graph), providers=["CPUExecutionProvider"])
    assert sorted(each.name for each in session.get_inputs()) == ["attention_mask", "input_ids"]
    assert [(each.name, each.shape) for each in session.get_outputs()] == [("sentence_embedding", ["batch_size", 32])]
    feeds = {
        "input_ids": np.array([each.ids for each in encodings], dtype=np.int64),
        "attention_mask": np.array([each.attention_mask for each in encodings], dtype=np.int64),
    }
    assert feeds["input_ids"].shape[1] <= 48
    return session.run(None, feeds)[0]


async def test_a_model_becomes_an_entry_that_onnxruntime_runs(tiny_model, repository):
    steps: list[Step] = []
    converted = await run(tiny_model, repository, on_step=steps.append)
    entry = ModelEntry(repository, "acme/tiny")
    info = entry.read_info()
    assert info == converted.info
    assert (info.dim, info.max_seq_length, info.max_batch_size) == (32, 48, 8)
    assert info.cosine >= 0.9999
    assert listing(repository) == sorted(ENTRY)
    assert [step.fraction for step in steps] == sorted(step.fraction for step in steps)
    assert list(dict.fromkeys(step.stage for step in steps)) == ["resolve", "export", "verify", "publish"]

    together = embed(entry, ["short", "a much longer text, which makes the short one be padded", "many words " * 100])
    alone = embed(entry, ["short"])
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert np.allclose(together[0], alone[0], atol=1e-5)
    assert not np.allclose(together[0], together[1], atol=1e-3)

    with pytest.raises(ConflictError):
        await run(tiny_model, repository)
    assert entry.read_info() == info


@pytest.mark.parametrize("size", [-1, 1025, 2**31 - 1])
async def test_a_batch_size_out_of_range_is_refused(tiny_model, repository, size):
    with pytest.raises(BadParametersError, match="1 to 1024"):
        await run(tiny_model, repository, max_batch_size=size)
    assert listing(repository) == []


async def test_damaged_weights_are_the_askers_fault_and_leave_nothing(tiny_model, repository, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(tiny_model, damaged)
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InvalidInputError, match="damaged"):
        await run(damaged, repository)
    assert listing(repository) == []


async def test_a_folder_without_modules_leaves_nothing(repository, tmp_path):
    (tmp_path / "bare").mkdir()
    with pytest.raises(InvalidInputError, match=r"modules\.json"):
        await run(tmp_path / "bare", repository)
    assert listing(repository) == []


def on_first_export(act):
    """A step callback that acts once, when the child has begun to work."""
    acted: list[Step] = []

    def on_step(step):
        if step.message == "starting torch" and not acted:
            acted.append(step)
            act()

    return on_step


async def test_a_child_that_is_killed_is_an_error_that_says_so_and_leaves_nothing(tiny_model, repository):
    def kill():
        (child,) = exporting(os.getpid())
        os.kill(child, signal.SIGKILL)

    request = ConvertRequest(model_id=str(tiny_model))
    with pytest.raises(WorkerError, match="killed by SIGKILL"):
        await convert(request, of(tiny_model), repository, ConversionLimits(), on_first_export(kill))
    assert listing(repository) == []


@pytest.mark.parametrize("how", ["cancelled", "timed out"])
async def test_a_conversion_that_is_ended_takes_its_child_along(tiny_model, repository, how):
    found = []
    begun = asyncio.Event()

    def note():
        found.extend(exporting(os.getpid()))
        begun.set()

    limits = ConversionLimits(conversion_timeout_s=3 if how == "timed out" else 100)
    request = ConvertRequest(model_id=str(tiny_model))
    task = asyncio.create_task(convert(request, of(tiny_model), repository, limits, on_first_export(note)))
    async with asyncio.timeout(60):
        await begun.wait()
        if how == "cancelled":
            task.cancel()
        with pytest.raises(asyncio.CancelledError if how == "cancelled" else DeadlineError):
            await task
    assert len(found) == 1
    assert not alive(found[0])
    assert listing(repository) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_child_does_not_outlive_a_parent_that_is_killed_and_the_next_start_clears_up(tiny_model, repository):
    command = [sys.executable, "-m", "converter.command", str(tiny_model), "--model-repository", str(repository)]
    parent = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert parent.stderr
    with parent.stderr:
        assert any("starting torch" in line for line in parent.stderr)
        (child,) = exporting(parent.pid)
        parent.kill()
        parent.wait()
    wait_until(lambda: not alive(child))
    assert [name.partition("-")[0] for name in recover(repository)] == [".tmp"]
    assert listing(repository) == []


async def test_too_little_memory_is_an_error_and_leaves_nothing(tiny_model, repository):
    limits = ConversionLimits(memory_limit_mb=64)
    request = ConvertRequest(model_id=str(tiny_model))
    with pytest.raises(WorkerError, match="--memory-limit-mb"):
        await convert(request, of(tiny_model), repository, limits, ignore)
    assert listing(repository) == []
