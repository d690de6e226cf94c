"""The README's example of a task type of one's own, on a stack that `labelbus up` starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labelbus.client import Client, ProblemError
from labelbus.stack.ports import free_ports

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.e2e
def test_a_task_type_of_ones_own_runs_beside_the_others(tmp_path):
    http_port, nats_port = free_ports((0, ""), (0, ""))
    command = [
        *(sys.executable, "-m", "labelbus", "up", "--workers", "1", "--runtime", "simulated", "--no-converter"),
        *("--no-logsink", "--data", tmp_path / "data", "--model-repository", tmp_path / "models"),
        *("--http-port", str(http_port), "--nats-port", str(nats_port), "--handlers", "word_counts"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as up:
        assert up.stderr is not None
        assert any("is up at" in line for line in up.stderr)
        try:
            with Client(f"http://127.0.0.1:{http_port}") as client:
                result = client.run_task("count_words", "a/b", {"texts": ["one two", "three"]})
                assert result.output == {"label": "a/b", "words": [2, 1]}
                with pytest.raises(ProblemError) as caught:
                    client.run_task("count_words", "a/b", {"texts": [1]})
                assert (caught.value.status, caught.value.code) == (422, "bad_parameters")
        finally:
            up.terminate()
            up.communicate(timeout=60)
    assert up.returncode == 0
