"""Presence of a worker as others see it, and when it is in the queue group."""

import asyncio
import time

import pytest

from bus.errors import NoRespondersError
from bus.messages import Result, Status
from tests.worker.serving import DEADLINE_S, negated, poll

pytestmark = pytest.mark.nats


async def test_a_task_over_slots_and_window_is_busy_at_once(make_worker):
    worker = await make_worker(slots=2, window=1, capacity=2)
    running = [worker.begin(f"t{number}") for number in range(2)]
    for _ in running:
        await worker.entered()
    ahead = worker.begin("ahead")
    await worker.state(lambda state: state.running == 3)
    busy = await worker.send("over")
    assert busy.status is Status.BUSY
    assert busy.state is not None
    assert (busy.state.running, busy.state.slots) == (3, 2)
    worker.gate.open.set()
    results = [await asyncio.wait_for(task, DEADLINE_S) for task in (*running, ahead)]
    assert {result.status for result in results} == {Status.OK}


async def test_a_full_worker_leaves_the_queue_group_and_joins_again(make_worker):
    worker = await make_worker(window=0)
    subject = worker.bus.subjects.task_any
    await worker.ping()
    taken = await worker.send_to(subject, "t", "sample_task", "a", None)
    assert (taken.status, taken.worker_id) == (Status.OK, "w")
    running = worker.begin("t1")
    await worker.entered()
    await poll(lambda: negated(worker.members()))
    with pytest.raises(NoRespondersError):
        await worker.send_to(subject, "t2", "sample_task", "a", None)
    worker.gate.open.set()
    await running
    await poll(worker.members)
    assert (await worker.send_to(subject, "t3", "sample_task", "a", None)).status is Status.OK


async def test_the_queue_group_shares_tasks_out_and_gives_each_to_one(make_worker):
    workers = [await make_worker(worker_id=name, slots=1, window=0) for name in ("w", "x")]
    subject = workers[0].bus.subjects.task_any

    async def insist(task_id: str) -> Result:
        while True:  # the server may send both to one worker before it has left
            result: Result = await workers[0].send_to(subject, task_id, "wait", "a", None)
            if result.status is not Status.BUSY:
                return result

    sent = [asyncio.create_task(insist(f"t{number}")) for number in range(2)]
    for worker in workers:
        await asyncio.wait_for(worker.gate.entered.get(), DEADLINE_S)
    for worker in workers:
        worker.gate.open.set()
    assert {(await task).worker_id for task in sent} == {"w", "x"}


async def test_a_state_is_told_when_a_worker_becomes_idle(make_worker):
    worker = await make_worker(window=0)
    running = worker.begin("t")
    await worker.entered()
    worker.gate.open.set()
    await running
    idle = await worker.state(lambda state: state.running == 0 and state.labels == ("a",))
    assert idle.revision > 0
    assert [state.revision for state in worker.states] == sorted({state.revision for state in worker.states})


async def test_states_are_at_most_twenty_a_second_while_slots_are_free(make_worker):
    worker = await make_worker(slots=50, capacity=50, window=0)
    await worker.send()
    await worker.state(lambda state: state.running == 0)
    told, began = len(worker.states), time.monotonic()
    for batch in range(30):
        await asyncio.gather(*(worker.send(f"t{batch}.{number}", parameters={"sleep_ms": 5}) for number in range(10)))
    await worker.bus.settle()
    assert len(worker.states) - told <= 20 * (time.monotonic() - began) + 2


async def test_the_registry_entry_is_json_that_a_person_can_read(make_worker):
    worker = await make_worker(slots=2, capacity=3)
    await worker.send(label="sentence-transformers/all-MiniLM-L6-v2")
    entry = await worker.entry_with(lambda found: bool(found["labels"]))
    held = entry["labels"]["sentence-transformers/all-MiniLM-L6-v2"]
    assert held["load_ms"] >= 0
    assert held["since"].endswith("+00:00")
    assert (entry["worker_id"], entry["state"], entry["runtime"]) == ("w", "ready", "simulated")
    assert (entry["slots"], entry["capacity"]) == (2, 3)
    assert {"embed_texts", "infer", "sample_task"} <= set(entry["task_types"])
    kv = await worker.bus.js.key_value(worker.bus.subjects.bucket)
    raw = (await kv.get("worker.w")).value or b""
    assert b'\n  "capacity": 3,' in raw


async def test_a_ping_is_answered_with_the_state_also_while_the_worker_is_full(make_worker):
    worker = await make_worker(window=0)
    running = worker.begin("t")
    await worker.entered()
    state = await worker.ping()
    assert (state.worker_id, state.running, state.draining) == ("w", 1, False)
    worker.gate.open.set()
    await running


async def test_lost_labels_leave_the_registry_and_are_loaded_again(worker):
    await worker.send(label="a")
    await worker.entry_with(lambda entry: "a" in entry["labels"])
    worker.runtime.lose("a")
    await worker.entry_with(lambda entry: not entry["labels"])
    assert not (await worker.send(label="a")).label_hit
    assert worker.runtime.loads == ["a", "a"]
