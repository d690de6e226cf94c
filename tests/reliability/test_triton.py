"""Triton and its model processes killed, and models that cannot be loaded."""

import asyncio

import psutil
import pytest

pytestmark = [pytest.mark.nats, pytest.mark.triton, pytest.mark.e2e]

TOKENS = {
    "inputs": [
        {"name": name, "shape": [1, 2], "datatype": "INT64", "data": data}
        for name, data in (("input_ids", [[3, 7]]), ("attention_mask", [[1, 1]]))
    ]
}


async def triton_pool(pool, repository, *workers):
    for name in workers:
        await pool.worker(name, "--model-repository", str(repository), "--threads", "1", runtime="triton")
    await pool.dispatcher()
    await pool.ready()


async def infer(pool, label="org/one", **more):
    return await pool.gateway.run_task(label, task_type="infer", parameters=TOKENS, **more)


async def labels(pool):
    return (await pool.gateway.call("GET", "/labels")).json()


def kill_all(pool, worker, name):
    """Send SIGKILL to every process of this name below the worker; return how many there were."""
    below = psutil.Process(pool.parts[worker].pid).children(recursive=True)
    found = [process for process in below if process.name().startswith(name)]
    for process in found:
        process.kill()
    return len(found)


@pytest.mark.parametrize("what", ["tritonserver", "triton_python_b"])
async def test_a_killed_triton_or_model_process_is_started_again_and_tasks_are_answered(
    pool, repository, triton_files, figures, what
):
    await triton_pool(pool, repository, "w1")
    expected = (await infer(pool)).json()["outputs"][0]["data"]
    assert await labels(pool) == {"org/one": ["w1"]}
    assert kill_all(pool, "w1", what) > 0
    if what == "tritonserver":  # no task is sent to it: the registry tells the truth all the same

        async def lost():
            return await labels(pool) == {}

        figures["triton killed: registry true within s"] = await pool.until(lost)

    async def answered():
        answer = await infer(pool)
        assert (answer.status, answer.code) in {(200, ""), (502, "runtime_unavailable")}, answer
        return answer.status == 200

    figures[f"{what} killed: answered again within s"] = await pool.until(answered)
    assert (await infer(pool)).json()["outputs"][0]["data"] == expected
    assert await labels(pool) == {"org/one": ["w1"]}
    assert pool.parts["w1"].pid is not None, "the worker itself went down"


async def test_with_two_workers_a_killed_triton_costs_no_task(pool, repository, triton_files):
    await triton_pool(pool, repository, "w1", "w2")
    await asyncio.gather(*(infer(pool) for _ in range(8)))
    running = [asyncio.create_task(infer(pool)) for _ in range(20)]
    assert kill_all(pool, "w1", "tritonserver") > 0
    running += [asyncio.create_task(infer(pool)) for _ in range(20)]
    assert {answer.status for answer in await asyncio.gather(*running)} == {200}


async def test_a_label_that_cannot_be_loaded_says_why_and_disturbs_no_other(
    pool, repository, write_entry, triton_files
):
    write_entry("org/broken", graph=b"this is no graph")
    await triton_pool(pool, repository, "w1")
    first = await infer(pool, "org/broken")
    assert (first.status, first.code) == (502, "load_failed")
    assert first.json()["worker"] == "w1"
    good, second, unknown = await asyncio.gather(infer(pool), infer(pool, "org/broken"), infer(pool, "org/nobody"))
    assert good.status == 200
    assert (second.status, second.code) == (502, "load_failed")

    async def refused_for_a_while():  # a busy machine may spend the first pause, 1 s, before it asks again
        answer = await infer(pool, "org/broken")
        assert (answer.status, answer.code) == (502, "load_failed")
        return "next in" in answer.json()["detail"]

    await pool.until(refused_for_a_while)
    assert (unknown.status, unknown.code) == (404, "unknown_model")
    assert await labels(pool) == {"org/one": ["w1"]}
