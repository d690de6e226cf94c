"""The published profiling script against dummy workers, on a stack that `labelbus up` starts."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from labelbus.stack.ports import free_ports

SCRIPT = Path(__file__).with_name("profile_script.py")
PUBLISHED = (
    '{"task_type": "sample_task", "task_id": "task-1", "label": "label-1", '
    r'"parameters_json": "{\"data\": \"sample\"}"}'
)

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    folder = tmp_path_factory.mktemp("up")
    http_port, nats_port = free_ports((0, ""), (0, ""))
    command = [
        *(sys.executable, "-m", "labelbus", "up", "--workers", "3", "--capacity", "2", "--runtime", "simulated"),
        *("--simulated-load-ms", "1", "--no-converter", "--no-logsink"),
        *("--data", folder / "data", "--model-repository", folder / "models"),
        *("--http-port", str(http_port), "--nats-port", str(nats_port)),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("is up at" in line for line in process.stderr)
        try:
            yield f"http://127.0.0.1:{http_port}"
        finally:
            process.terminate()
            process.communicate(timeout=60)


def test_the_published_request_is_answered_with_what_it_sent_also_when_its_id_comes_again(up):
    for _ in range(2):
        response = httpx.post(f"{up}/run-task", content=PUBLISHED, headers={"Content-Type": "application/json"})
        assert response.status_code == 200, response.text
        answer = response.json()
        assert answer.pop("elapsed_ms") >= 0
        assert answer == {"label": "label-1", "data": "sample"}
        assert response.headers["Labelbus-Task-Id"] == "task-1"


def test_the_published_script_runs_as_it_stands(up):
    done = subprocess.run([sys.executable, SCRIPT, up], capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    print(summary)
    assert summary["tasks"] == 8_000
    assert len(summary["workers"]) == 3, "five labels of which two fit in a worker keep all three at work"
