"""The task types of one's own in examples/ and in README.md, on a stack that `labelbus up` starts.

The README's client code and examples/search.py need a real model; test_whole_way.py runs them on its stack.
"""

import asyncio
import os
import subprocess
import sys

import pytest

from labelbus.client import AsyncClient, Client, ProblemError
from labelbus.stack.ports import free_ports
from tests.docs.code_blocks import ROOT, code_blocks

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    """A stack whose worker has the task types of the examples, that of the README under a name of its own.

    Its runs take 50 ms whatever is in them, so that tasks share them.
    """
    folder = tmp_path_factory.mktemp("up")
    (code,) = (block.text for block in code_blocks(ROOT / "README.md") if "@task_type" in block.text)
    assert '"count_words"' in code
    (folder / "from_readme.py").write_text(code.replace('"count_words"', '"count_words_readme"'))
    (code,) = (block.text for block in code_blocks(ROOT / "docs" / "passes.md") if "@task_type" in block.text)
    (folder / "from_passes.py").write_text(code)
    http_port, nats_port = free_ports((0, ""), (0, ""))
    command = [
        *(sys.executable, "-m", "labelbus", "up", "--workers", "1", "--runtime", "simulated", "--no-converter"),
        *("--no-logsink", "--data", folder / "data", "--model-repository", folder / "models"),
        *("--http-port", str(http_port), "--nats-port", str(nats_port)),
        *("--simulated-run-ms", "50", "--simulated-item-ms", "0.1"),
        *("--handlers", "word_counts", "--handlers", "from_readme"),
        *("--handlers", "word_lengths", "--handlers", "from_passes"),
    ]
    environment = {**os.environ, "PYTHONPATH": f"{EXAMPLES}:{folder}"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        assert any("is up at" in line for line in process.stderr)
        try:
            yield f"http://127.0.0.1:{http_port}"
        finally:
            process.terminate()
            process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.e2e
def test_a_task_type_of_ones_own_runs_beside_the_others(up):
    with Client(up) as client:
        result = client.run_task("count_words", "a/b", {"texts": ["one two", "three"]})
        assert result.output == {"label": "a/b", "words": [2, 1]}
        with pytest.raises(ProblemError) as caught:
            client.run_task("count_words", "a/b", {"texts": [1]})
        assert (caught.value.status, caught.value.code) == (422, "bad_parameters")
        assert client.run_task("sample_task", "a/b", {}).worker == "worker-1"


@pytest.mark.e2e
def test_the_task_type_in_the_readme_runs(up):
    with Client(up) as client:
        assert client.run_task("count_words_readme", "a/b", {"texts": ["one two", ""]}).output == {"words": [2, 0]}


@pytest.mark.e2e
def test_task_types_with_passes_run_each_task_for_itself(up):
    with Client(up) as client:
        assert client.run_task("word_lengths", "a/b", {"words": ["one", "three"]}).output["lengths"] == [3, 5]
        with pytest.raises(ProblemError) as caught:
            client.run_task("word_lengths", "a/b", {"words": ["one", ""]})
        assert (caught.value.status, caught.value.detail) == (422, "word 1 is empty")
        assert client.run_task("shout", "a/b", {"text": "passes"}).output == "PASSES"
        with pytest.raises(ProblemError, match="nothing to shout"):
            client.run_task("shout", "a/b", {})


@pytest.mark.e2e
async def test_tasks_that_come_together_share_runs_and_each_answer_says_with_how_many(up):
    async with AsyncClient(up) as client:
        tasks = [client.run_task("sample_task", "a/b", {"number": number}) for number in range(24)]
        results = await asyncio.gather(*tasks)
        further = await asyncio.gather(*(client.run_task("sample_task", "a/b", {}) for _ in range(24)))
    assert [result.output["number"] for result in results] == list(range(24))
    assert max(result.pass_size for result in [*results, *further]) > 1


@pytest.mark.e2e
def test_infer_on_a_simulated_runtime_whose_runs_take_time_answers_with_its_inputs(up):
    tensor = {"name": "x", "shape": [2, 1], "datatype": "FP32", "data": [1.5, 2.5]}
    with Client(up) as client:
        assert client.run_task("infer", "a/b", {"inputs": [tensor]}).output["outputs"] == [tensor]
