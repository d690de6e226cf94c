"""Answers to clients whose task cannot run: no worker, queue full, deadline passed, worker lost."""

import time
from typing import Any

import pytest

from bus.codec import decode_task
from tests.dispatcher.conftest import Gateway, until

pytestmark = pytest.mark.nats


# ── no worker, queue full, deadline passed, worker lost ──


async def test_without_a_worker_the_answer_is_503_at_once(gateway):
    problem = await gateway.problem(await gateway.run(task_id="t"), 503, "no_worker")
    assert problem["task_id"] == "t"


@pytest.mark.parametrize("limit", ["max_waiting", "max_waiting_per_label"])
async def test_a_full_queue_is_429_with_a_time_to_come_back(make_gateway, limit):
    gateway = await make_gateway(**{limit: 1})
    await gateway.add_worker()
    running = gateway.begin()
    await gateway.gate.next_entered()
    waiting = gateway.begin()
    await until(lambda: gateway.service.router.waiting == 1)
    response = await gateway.run()
    await gateway.problem(response, 429, "queue_full")
    assert int(response.headers["Retry-After"]) >= 1
    gateway.gate.open.set()
    assert [(await task).status_code for task in (running, waiting)] == [200, 200]


async def test_parameters_of_all_tasks_under_way_have_a_limit_in_memory(make_gateway):
    gateway = await make_gateway(max_held_mb=1)
    await gateway.add_worker()
    large = {"x": "a" * 600_000}
    running = gateway.begin(parameters_json=large)
    await gateway.gate.next_entered()
    response = await gateway.run(parameters_json=large)
    await gateway.problem(response, 429, "queue_full")
    assert int(response.headers["Retry-After"]) >= 1
    gateway.gate.open.set()
    assert (await running).status_code == 200
    assert (await gateway.run(parameters_json=large)).status_code == 200


async def test_at_the_deadline_a_waiting_task_is_cancelled_and_a_running_ones_result_dropped(pool):
    soon = time.time_ns() // 1_000_000 + 1_000  # on a slow machine the tasks take a while to get where they are to be
    running = pool.begin(task_id="running", deadline_ms=soon)
    await pool.gate.next_entered()
    waiting = pool.begin(task_id="waiting", deadline_ms=soon)
    problem = await pool.problem(await running, 504, "deadline_passed")
    assert problem["worker"] == "w1"
    await pool.problem(await waiting, 504, "deadline_passed")
    assert pool.service.router.waiting == 0
    pool.gate.open.set()
    assert (await pool.run()).status_code == 200, "the slot came back"
    assert pool.gate.left.get_nowait() == "running"
    assert pool.gate.left.empty(), "what was cancelled while it waited never ran"


async def test_a_failure_names_the_worker(pool):
    problem = await pool.problem(await pool.run("misbehave"), 502, "worker_failed")
    assert problem["worker"] == "w1"
    assert "the handler is wrong" in problem["detail"]


async def test_a_client_that_goes_away_has_its_task_cancelled(pool):
    running = pool.begin(task_id="running")
    await pool.gate.next_entered()
    waiting = pool.begin(task_id="waiting")
    await until(lambda: pool.service.router.waiting == 1)
    for task in (running, waiting):
        task.cancel()
    await until(lambda: len(pool.service.in_flight) == 0)
    assert pool.service.router.waiting == 0
    pool.gate.open.set()
    assert (await pool.run()).status_code == 200
    assert pool.gate.left.get_nowait() == "running"
    assert pool.gate.left.empty()


async def test_a_worker_that_dies_with_a_task_has_it_run_by_another(gateway):
    await gateway.add_worker("w1")
    running = gateway.begin(task_id="t")
    await gateway.gate.next_entered()
    await gateway.add_worker("w2")
    await gateway.workers["w1"].die()
    await gateway.gate.next_entered()
    gateway.gate.open.set()
    response = await running
    assert response.status_code == 200
    assert response.headers["Labelbus-Worker"] == "w2"
    assert (await gateway.http.get("/workers")).json() == {"workers": ["w2"]}


async def test_a_task_that_may_not_be_tried_again_is_502_when_its_worker_dies(gateway):
    await gateway.add_worker("w1")
    running = gateway.begin(task_id="t", retry=False)
    await gateway.gate.next_entered()
    await gateway.add_worker("w2")
    await gateway.workers["w1"].die()
    problem = await gateway.problem(await running, 502, "worker_failed")
    assert problem["worker"] == "w1"
    assert gateway.gate.entered.empty()


async def test_a_task_that_loses_two_workers_is_given_up(gateway):
    await gateway.add_worker("w1")
    running = gateway.begin()
    await gateway.gate.next_entered()
    await gateway.add_worker("w2")
    await gateway.workers["w1"].die()
    await gateway.gate.next_entered()
    await gateway.workers["w2"].die()
    problem = await gateway.problem(await running, 502, "worker_failed")
    assert problem["worker"] == "w1,w2"


# ── the queue group ──


async def test_with_the_policy_random_the_queue_group_chooses(make_gateway):
    gateway = await make_gateway(policy="random")
    await gateway.add_worker()
    seen: list[str] = []
    await listen(gateway, gateway.bus.subjects.task("w1"), seen)
    for _ in range(3):
        response = await gateway.run()
        assert (response.status_code, response.headers["Labelbus-Route"]) == (200, "any")
    assert seen == []


async def test_with_an_empty_registry_the_queue_group_chooses(gateway, monkeypatch):
    worker = await gateway.add_worker()
    gateway.service._worker_gone("w1")
    assert (await gateway.http.get("/workers")).json() == {"workers": []}
    response = await gateway.run()
    assert (response.status_code, response.headers["Labelbus-Route"]) == (200, "any")
    assert response.headers["Labelbus-Worker"] == "w1"
    assert not worker.running.done()


async def listen(gateway: Gateway, subject: str, into: list[str]) -> None:
    async def heard(msg: Any) -> None:
        into.append(decode_task(msg.data).task_id)

    await gateway.bus.subscribe(subject, heard)
    await gateway.bus.settle()
