"""Messages on the bus that are malformed, late, or claim the impossible."""

import json
from typing import Any

import pytest

from bus.codec import encode_result, encode_state
from bus.messages import Result, Status, WorkerState
from tests.dispatcher.conftest import until
from tests.dispatcher.played_worker import PlayedWorker

pytestmark = pytest.mark.nats

GARBAGE = [b"", b"\x00", b"\xff" * 50, b"{}", b"\x0a\x80", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 20]


def body(**fields: Any) -> bytes:
    return json.dumps({"task_type": "echo", "label": "a", "parameters_json": "{}", **fields}).encode()


async def test_garbage_on_every_subject_is_counted_and_tasks_go_on(pool):
    subjects = pool.bus.subjects
    kv = await pool.bus.js.key_value(subjects.bucket)
    for payload in GARBAGE:
        for subject in (
            subjects.state("w1"),
            subjects.state("x"),
            pool.service.replies.assignment(1),
            subjects.reply("d1", "x"),
            subjects.reply("d1", "p-w1"),
            subjects.reply("d1", "p-1-w1"),
            subjects.reply("d1", f"p-{'9' * 1_000}-w1"),
            subjects.reply("d1", "9" * 1_000),
        ):
            await pool.bus.publish(subject, payload)
        await kv.put("worker.w9", payload or b" ")
        await kv.put("worker.w1.x", payload or b" ")
        await kv.put("nonsense", payload or b" ")
    await pool.bus.publish(subjects.reply("d1", "p-"), headers={"Status": "503"})
    await pool.bus.publish(subjects.reply("d1", "x"), headers={"Status": "503"})
    await pool.bus.settle()
    await until(lambda: pool.service.counters.malformed == 8 * len(GARBAGE) + 2)
    await until(lambda: pool.service.watch.malformed == len(GARBAGE))
    assert (await pool.http.get("/workers")).json() == {"workers": ["w1"]}
    assert (await pool.run()).status_code == 200


async def test_garbage_logs_a_line_a_second_with_a_count_and_not_a_line_a_message(pool, log_records):
    garbage = 3_000
    for _ in range(garbage):
        await pool.bus.publish(pool.bus.subjects.state("w1"), b"\xff")
    await pool.bus.settle()
    await until(lambda: pool.service.counters.malformed == garbage)

    def counted() -> int:
        return sum(1 + record["extra"]["left_out"] for record in ignored())

    def ignored() -> list[Any]:
        return [record for record in log_records if record["message"] == "message ignored"]

    await until(lambda: counted() == garbage)
    seconds = (ignored()[-1]["time"] - ignored()[0]["time"]).total_seconds()
    assert len(ignored()) <= seconds + 2
    assert ignored()[-1]["extra"]["subject"] == pool.bus.subjects.state("w1")
    assert ignored()[-1]["extra"]["malformed"] == garbage


@pytest.mark.parametrize(("retry", "runs"), [(True, 3), (False, 1)])
async def test_a_task_whose_answer_cannot_be_decoded_is_tried_again_and_then_fails(gateway, retry, runs):
    worker = PlayedWorker(gateway.bus, "w9", lambda _: b"\xff\xff")
    async with worker.running():
        await until(lambda: [view.worker_id for view in gateway.service.router.workers()] == ["w9"])
        problem = await gateway.problem(await gateway.run(task_id="t", retry=retry), 502, "worker_failed")
    assert (problem["task_id"], problem["worker"]) == ("t", "w9")
    assert "cannot be read" in problem["detail"]
    assert [task.task_id for task in worker.tasks] == ["t"] * runs
    assert gateway.service.counters.malformed == runs
    assert gateway.service.counters.retried == runs - 1


async def test_a_state_that_claims_the_impossible_harms_nobody(pool):
    wild = WorkerState(worker_id="liar", slots=0, capacity=0, running=2**32 - 1, epoch_ms=2**62, revision=2**63)
    await pool.bus.publish(pool.bus.subjects.state("liar"), encode_state(wild))
    await pool.bus.settle()
    await until(lambda: len(pool.service.router.workers()) == 2)
    for _ in range(3):
        assert (await pool.run()).status_code == 200


async def test_a_late_result_is_dropped_and_counted(pool):
    result = Result(task_id="t", worker_id="w1", status=Status.OK, output=b'{"late": true}')
    running = pool.begin(task_id="t")
    await pool.gate.next_entered()
    of_another_process = pool.bus.subjects.assignment_reply("d1", "0", 1)
    for reply in (pool.service.replies.assignment(99), of_another_process):
        await pool.bus.publish(reply, encode_result(result))
    for token in ("1", "-1", "²"):
        await pool.bus.publish(pool.bus.subjects.reply("d1", token), encode_result(result))
    await until(lambda: pool.service.counters.late == 2)
    await until(lambda: pool.service.counters.malformed == 3)
    assert not running.done()
    pool.gate.open.set()
    assert (await running).json() == {"task": "t"}


async def test_a_result_for_an_earlier_process_of_the_dispatcher_meets_no_task_of_this_one(make_gateway):
    first = await make_gateway()
    await first.add_worker()
    running = first.begin(task_id="old")
    await first.gate.next_entered()
    second = await make_gateway()
    assert second.service.replies.assignment(1) != first.service.replies.assignment(1)
    running.cancel()
    await until(lambda: [view.worker_id for view in second.service.router.workers()] == ["w1"])
    young = second.begin("echo", task_id="young", parameters_json='{"mine": 1}')
    await until(lambda: "young" in second.service.in_flight)
    first.gate.open.set()
    assert (await young).json() == {"mine": 1}
    await until(lambda: second.service.counters.late == 1)


async def test_a_task_that_cannot_be_published_is_503_and_costs_no_slot(pool, monkeypatch):
    import nats.errors

    publish = pool.component.bus.nc.publish

    async def full(subject: str, *args: Any, **kwargs: Any) -> None:
        if ".task." in subject:
            raise nats.errors.OutboundBufferLimitError
        await publish(subject, *args, **kwargs)

    monkeypatch.setattr(pool.component.bus.nc, "publish", full)
    for _ in range(3):
        problem = await pool.problem(await pool.run(), 503, "unavailable")
        assert problem["detail"].startswith("could not publish the task to NATS (")
        assert "lb." not in problem["detail"]
    monkeypatch.setattr(pool.component.bus.nc, "publish", publish)
    assert (await pool.run()).status_code == 200
