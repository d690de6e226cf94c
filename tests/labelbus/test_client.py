"""The clients against a real gateway."""

import pytest

import labelbus
from labelbus import AsyncClient, Client, ProblemError

pytestmark = [pytest.mark.nats, pytest.mark.e2e]


def test_a_task_goes_there_and_back(stack):
    with Client(stack.url) as client:
        assert client.workers() == ["worker-1", "worker-2"]
        result = client.run_task("sample_task", "org--model", {"sleep_ms": 1}, task_id="mine")
        assert result.output["label"] == "org/model"
        assert (result.task_id, result.worker in client.workers()) == ("mine", True)
        assert min(result.queue_ms, result.load_ms, result.run_ms) >= 0
        again = client.run_task("sample_task", "org/model", {})
        assert (again.route, again.worker) == ("hit", result.worker)
        assert client.labels()["org/model"] == [result.worker]


async def test_the_asynchronous_client_does_the_same(stack):
    async with AsyncClient(stack.url) as client:
        assert await client.workers() == ["worker-1", "worker-2"]
        result = await client.run_task("sample_task", "a", {"sleep_ms": 1}, task_id="mine")
        assert (result.task_id, result.output["label"]) == ("mine", "a")
        assert result.worker in (await client.labels())["a"]
        with pytest.raises(ProblemError) as caught:
            await client.embed_texts("a", ["text"])
        assert (caught.value.status, caught.value.code) == (404, "unknown_model")
        with pytest.raises(ProblemError) as caught:
            await client.upload_model("org/model")
        assert (caught.value.status, caught.value.code) == (503, "unavailable")


def test_a_problem_says_what_where_and_what_next(stack):
    with Client(stack.url) as client:
        with pytest.raises(ProblemError, match=r"negative|\$.sleep_ms") as caught:
            client.run_task("sample_task", "a", {"sleep_ms": -1}, task_id="bad")
        problem = caught.value
        assert (problem.status, problem.code, problem.task_id) == (422, "bad_parameters", "bad")
        assert problem.worker.startswith("worker-")
        assert str(problem) == f"{problem.detail} (bad_parameters)"
        with pytest.raises(ProblemError) as caught:
            client.embed_texts("../x", ["text"])
        assert caught.value.code == "bad_name"
        with pytest.raises(ProblemError):
            client.upload_model("")


def test_task_types_of_ones_own_need_one_import():
    assert labelbus.task_type("mine").__name__ == "<lambda>"
    assert labelbus.TaskContext.__name__ == "TaskContext"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = labelbus.nothing
