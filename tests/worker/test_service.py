"""A worker on a real NATS: labels loaded and evicted, tasks run."""

import asyncio
import json
from typing import Any

import pytest

from bus.errors import RuntimeUnavailableError
from bus.messages import Status
from tests.worker.serving import DEADLINE_S

pytestmark = pytest.mark.nats


async def test_the_log_of_a_task_says_why_it_came_here_and_what_each_step_took_beside_what_was_expected(worker):
    await worker.send(route="copy", waited_ms=1.25, expected_ms=420.5, attempt=2)
    await worker.send(route="hit", waited_ms=0.0, expected_ms=0.5)
    first, second = worker.completed
    assert (first["route"], first["waited_ms"], first["expected_ms"], first["attempt"]) == ("copy", 1.25, 420.5, 2)
    assert (first["label_hit"], second["label_hit"]) == (False, True)
    assert {"task_id", "task_type", "label", "queue_ms", "load_ms", "run_ms"} <= first.keys()
    assert (second["route"], second["load_ms"]) == ("hit", 0.0)


async def test_the_first_task_of_a_label_is_a_miss_and_the_second_a_hit(worker):
    first = await worker.send("t1")
    second = await worker.send("t2")
    assert (first.status, first.label_hit, first.evicted_label) == (Status.OK, False, "")
    assert first.load_ms > 0
    assert (second.status, second.label_hit, second.load_ms) == (Status.OK, True, 0.0)
    assert (second.task_id, second.worker_id, second.attempt) == ("t2", "w", 1)
    assert json.loads(second.output)["label"] == "a"
    assert second.state is not None
    assert (second.state.labels, second.state.running) == (("a",), 0)
    assert worker.runtime.loads == ["a"]


async def test_a_label_is_evicted_for_another_when_there_is_no_room(make_worker):
    worker = await make_worker(capacity=1)
    await worker.send(label="a")
    result = await worker.send(label="b")
    assert result.evicted_label == "a"
    assert result.state is not None
    assert result.state.labels == ("b",)


async def test_more_slots_than_capacity_run_many_tasks_of_few_labels_at_once(make_worker):
    worker = await make_worker(slots=64, capacity=2, window=0)
    running = [worker.begin(f"t{number}", "ab"[number % 2]) for number in range(64)]
    for _ in running:
        await worker.entered()
    worker.gate.open.set()
    results = await asyncio.wait_for(asyncio.gather(*running), DEADLINE_S)
    assert {result.status for result in results} == {Status.OK}
    assert sorted(worker.runtime.loads) == ["a", "b"]


async def test_tasks_of_more_labels_than_fit_all_end_while_every_slot_is_asked_for(make_worker):
    worker = await make_worker(slots=8, capacity=2, window=4)
    busy = {"sleep_ms": 5}

    async def insist(number: int) -> Any:
        while (
            result := await worker.send(f"t{number}", label="abcde"[number % 5], parameters=busy)
        ).status is Status.BUSY:
            pass
        return result.status

    async with asyncio.timeout(DEADLINE_S):
        assert set(await asyncio.gather(*(insist(number) for number in range(60)))) == {Status.OK}


async def test_the_dispatchers_proposal_is_followed(worker):
    for label in ("a", "a", "a", "b"):
        await worker.send(label=label)
    assert (await worker.send(label="c", evict_label="a")).evicted_label == "a"


async def test_both_ways_to_write_a_label_are_one(worker):
    await worker.send(label="org/model")
    assert (await worker.send(label="org--model")).label_hit


async def test_many_tasks_of_many_labels_are_all_answered(make_worker):
    worker = await make_worker(slots=4, capacity=4, window=60)
    worker.runtime.failures["d"] = RuntimeUnavailableError("away")
    sent = [worker.send(f"t{number}", label="abcdefgh"[number % 8]) for number in range(60)]
    results = await asyncio.wait_for(asyncio.gather(*sent), DEADLINE_S)
    assert sorted(result.task_id for result in results) == sorted(f"t{number}" for number in range(60))
    assert {(result.status, result.error_code) for result in results} == {
        (Status.OK, ""),
        (Status.FAILED, "runtime_unavailable"),
    }
    assert max(len(state.labels) + len(state.loading) for state in worker.states) <= 4 + 60
    assert all(len(state.labels) <= 4 for state in worker.states)
