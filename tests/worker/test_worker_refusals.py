"""Answers of a worker to tasks that it cannot run, and to what is no task."""

import asyncio
import json
import time

import pytest

from bus.clock import UnixClock
from bus.codec import decode_result, encode_task
from bus.errors import LoadError
from bus.messages import Status, Task
from tests.worker.serving import DEADLINE_S, filler, poll, retried, truth

pytestmark = pytest.mark.nats

GARBAGE = [b"", b"\x00", b"\xff" * 50, b"{}", b"\x0a\x80", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 20]


async def test_garbage_is_counted_and_the_worker_works_on(worker):
    subjects = worker.bus.subjects
    for subject in (subjects.task("w"), subjects.task_any):
        for payload in GARBAGE:
            await worker.bus.publish(subject, payload, reply="nobody.listens")
            await worker.bus.publish(subject, payload)
    for payload in GARBAGE:
        await worker.bus.publish(subjects.ping("w"), payload)
    assert (await worker.send()).status is Status.OK
    await worker.ping()
    await poll(lambda: truth(worker.service.malformed == 4 * len(GARBAGE)))
    assert worker.service._admission.taken == 0


async def test_garbage_is_logged_at_most_once_a_second_with_a_count(worker, logged):
    subject = worker.bus.subjects.task("w")
    began = time.monotonic()
    for _ in range(2_000):
        await worker.bus.publish(subject, b"\xff", reply="nobody.listens")
    await poll(lambda: truth(worker.service.malformed == 2_000))
    assert (await worker.send()).status is Status.OK
    worker.stopping.set()
    await asyncio.wait_for(worker.running, DEADLINE_S)
    lines = logged.of("message ignored")
    assert sum(1 + line["left_out"] for line in lines) == 2_000
    assert len(lines) <= 2 + (time.monotonic() - began)


async def test_a_task_without_a_reply_subject_is_run_and_its_slot_comes_back(worker):
    await worker.bus.publish(
        worker.bus.subjects.task("w"), encode_task(Task(task_id="t", task_type="wait", label="a", parameters=b"{}"))
    )
    await worker.entered()
    worker.gate.open.set()
    assert (await worker.state(lambda state: state.running == 0)).labels == ("a",)


@pytest.mark.parametrize(
    ("kind", "parameters", "code", "says"),
    [
        ("unheard_of", {}, "unknown_task_type", "no handler for unheard_of; it has embed_texts, infer"),
        ("sample_task", {"sleep_ms": -1}, "bad_parameters", "$.sleep_ms"),
        ("sample_task", {"busy_ms": "long"}, "bad_parameters", "$.busy_ms"),
        ("sample_task", [], "bad_parameters", "got `array`"),
        ("misbehave", "raise", "worker_failed", "the handler is wrong"),
        ("misbehave", "exit", "worker_failed", "misbehave failed: 3"),
        ("misbehave", "unencodable", "worker_failed", "misbehave failed"),
        ("misbehave", "large", "too_large", "fit in a NATS message"),
        ("infer", {"inputs": [{"name": "x", "shape": [1], "datatype": "INT8", "data": [1]}]}, "bad_parameters", "no "),
        ("embed_texts", {"texts": ["a"] * 1025}, "bad_parameters", "at most 1,024"),
        ("embed_texts", {"texts": ["a" * 500_000]}, "bad_parameters", "500,000 characters; at most 100,000"),
        ("embed_texts", {"texts": ["a"]}, "unknown_model", "no model a in the model repository"),
    ],
)
async def test_a_task_that_cannot_be_run_says_why_and_the_worker_works_on(worker, kind, parameters, code, says):
    result = await worker.send(kind=kind, parameters=parameters)
    assert (result.status, result.error_code) == (Status.FAILED, code)
    assert says in result.error_message
    assert (await worker.send()).status is Status.OK
    assert (await worker.ping()).running == 0


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000])
async def test_parameters_that_are_not_json_are_malformed(worker, raw):
    task = Task(task_id="t", task_type="sample_task", label="a", parameters=raw)
    msg = await worker.bus.request(worker.bus.subjects.task("w"), encode_task(task), timeout_s=DEADLINE_S)
    result = decode_result(msg.data)
    assert result.error_code in ("malformed", "bad_parameters")
    assert worker.runtime.loads == [], "nothing is loaded for it"


async def test_a_task_past_its_deadline_is_refused_and_its_label_not_loaded(worker):
    now_ms = time.time_ns() // 1_000_000
    result = await worker.send(deadline_ms=now_ms - 1)
    assert result.error_code == "deadline_passed"
    assert worker.runtime.loads == []


async def test_a_deadline_that_passes_while_the_label_loads_ends_the_task_before_it_begins(worker):
    worker.runtime.gate.clear()
    clock = UnixClock()
    now_ms = clock.now_ms()
    sent = asyncio.create_task(worker.send(kind="wait", deadline_ms=now_ms + 200, sent_ms=now_ms))
    await poll(lambda: truth(clock.now_ms() > now_ms + 210 and worker.runtime.loads == ["a"]))
    worker.runtime.gate.set()
    assert (await sent).error_code == "deadline_passed"
    assert worker.gate.entered.empty(), "the handler was never called"


async def test_a_deadline_by_a_clock_that_is_an_hour_off_leaves_its_time_to_the_task(worker):
    for skew_ms in (-3_600_000, 3_600_000):
        sent_ms = time.time_ns() // 1_000_000 + skew_ms
        result = await worker.send(
            kind="misbehave", parameters="left", sent_ms=sent_ms, deadline_ms=sent_ms + 1_000_000
        )
        assert result.status is Status.OK, result.error_message
        assert 900 < json.loads(result.output) <= 1_000


async def test_a_load_that_fails_is_told_with_its_reason_and_others_are_not_disturbed(worker):
    worker.runtime.failures["bad"] = LoadError("the graph is broken")
    for _ in range(2):
        result = await worker.send(label="bad")
        assert (result.status, result.error_code) == (Status.FAILED, "load_failed")
        assert "the graph is broken" in result.error_message
    assert (await worker.send(label="good")).status is Status.OK
    assert worker.runtime.loads == ["bad", "good"]


async def test_a_worker_whose_state_leaves_no_room_still_answers(make_worker):
    worker = await make_worker(capacity=4000)
    for start in range(0, 4000, 20):
        await asyncio.gather(
            *(retried(worker, f"{'long-name-of-a-tenant/' * 8}{number}") for number in range(start, start + 20))
        )
        if sum(map(len, (await worker.ping()).labels)) > 25_000:
            break
    room = worker.bus.max_payload_bytes - 17_000
    worker.service._runner._task_types["fill"] = filler(room)
    result = await worker.send(kind="fill", label=f"{'long-name-of-a-tenant/' * 8}0")
    assert len(result.output) > room
    assert result.state is None
