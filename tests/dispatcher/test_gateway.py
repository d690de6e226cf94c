"""The gateway: what goes in, what comes out, and with which status."""

import asyncio
import json
import time
from typing import Any

import msgspec
import pytest

from bus.codec import decode_task, encode_convert_reply, encode_result, encode_state
from bus.connection import connect
from bus.errors import LabelbusError, OverloadedError, UnavailableError, WorkerError
from bus.messages import ConvertReply, Result, Status, WorkerState
from dispatcher.__main__ import serve
from dispatcher.answers import error_of
from dispatcher.api.problems import STATUS
from dispatcher.settings import DispatcherSettings
from tests.dispatcher.conftest import DEADLINE_S, Gateway, component, until

pytestmark = pytest.mark.nats

GARBAGE = [b"", b"\x00", b"\xff" * 50, b"{}", b"\x0a\x80", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 20]


def body(**fields: Any) -> bytes:
    return json.dumps({"task_type": "echo", "label": "a", "parameters_json": "{}", **fields}).encode()


# ── what works ──


async def test_a_task_goes_there_and_back_and_the_answer_says_how(pool):
    first = await pool.run(parameters_json='{"x": [1, 2.5, "ä"]}', task_id="t-1")
    assert first.status_code == 200
    assert first.json() == {"x": [1, 2.5, "ä"]}
    assert first.headers["content-type"] == "application/json"
    headers = first.headers
    assert (headers["Labelbus-Task-Id"], headers["Labelbus-Worker"]) == ("t-1", "w1")
    assert (headers["Labelbus-Route"], headers["Labelbus-Attempt"]) == ("load", "1")
    assert "Labelbus-Evicted" not in headers
    for name in ("Queue", "Load", "Run", "Expected"):
        assert float(headers[f"Labelbus-{name}-Ms"]) >= 0
    second = await pool.run(parameters_json={"as": "an object"})
    assert second.json() == {"as": "an object"}
    assert second.headers["Labelbus-Route"] == "hit"
    assert len(second.headers["Labelbus-Task-Id"]) == 32, "made up"
    assert float(second.headers["Labelbus-Load-Ms"]) == 0


async def test_what_was_given_up_is_named(make_gateway):
    gateway = await make_gateway()
    await gateway.add_worker(capacity=1)
    await gateway.run(label="org/a")
    assert (await gateway.run(label="org--b")).headers["Labelbus-Evicted"] == "org/a"


async def test_labels_and_workers_follow_the_registry(gateway):
    assert (await gateway.http.get("/workers")).json() == {"workers": []}
    assert (await gateway.http.get("/labels")).json() == {}
    await gateway.add_worker("w2")
    await gateway.add_worker("w1")
    await gateway.run(label="org--model")
    assert (await gateway.http.get("/workers")).json() == {"workers": ["w1", "w2"]}
    labels = (await gateway.http.get("/labels")).json()
    assert list(labels) == ["org/model"]
    [holder] = labels["org/model"]
    await gateway.workers[holder].stop()
    await until(lambda: len(gateway.service.router.workers()) == 1)
    assert (await gateway.http.get("/labels")).json() == {}


async def test_health_is_a_word(pool):
    for path in ("/health", "/health/live", "/health/ready"):
        response = await pool.http.get(path)
        assert (response.status_code, response.json()) == (200, {"message": "OK"})


# ── bad input ──


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        pytest.param(b"", 400, "malformed", id="nothing"),
        pytest.param(b"{", 400, "malformed", id="no JSON"),
        pytest.param(b"\xff\xfe", 400, "malformed", id="no text"),
        pytest.param(b'{"task_type": "\xff"}', 400, "malformed", id="no UTF-8"),
        pytest.param(body(label="\ud800"), 400, "malformed", id="half a character"),
        pytest.param(b"[]", 400, "malformed", id="a list"),
        pytest.param(b"null", 400, "malformed", id="null"),
        pytest.param(b"[" * 100_000, 400, "malformed", id="nested without end"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, 400, "malformed", id="nested deeply"),
        pytest.param(
            b'{"task_type":"echo","label":"a","parameters_json":{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
            400,
            "malformed",
            id="parameters nested deeply, as they are",
        ),
        pytest.param(body(parameters_json="[" * 100_000 + "]" * 100_000), 400, "malformed", id="nested deeply as text"),
        pytest.param(b'{"label":"a","parameters_json":"{}"}', 400, "malformed", id="no task type"),
        pytest.param(b'{"task_type":"echo","parameters_json":"{}"}', 400, "malformed", id="no label"),
        pytest.param(b'{"task_type":"echo","label":"a"}', 400, "malformed", id="no parameters"),
        pytest.param(body(task_type=1), 400, "malformed", id="type of the task type"),
        pytest.param(body(label=["a"]), 400, "malformed", id="type of the label"),
        pytest.param(body(label=None), 400, "malformed", id="null for a label"),
        pytest.param(body(parameters_json=1), 400, "malformed", id="type of the parameters"),
        pytest.param(body(parameters_json=[1]), 400, "malformed", id="parameters that are a list"),
        pytest.param(body(deadline_ms="soon"), 400, "malformed", id="type of the deadline"),
        pytest.param(body(deadline_ms=1.5), 400, "malformed", id="half a millisecond"),
        pytest.param(body(deadline_ms=-1), 400, "malformed", id="before 1970"),
        pytest.param(body(deadline_ms=10**400), 400, "malformed", id="after the end of the world"),
        pytest.param(body(retry="no"), 400, "malformed", id="type of retry"),
        pytest.param(body(parameters_json=""), 400, "malformed", id="parameters that are empty"),
        pytest.param(body(parameters_json="{'x': 1}"), 400, "malformed", id="parameters that are Python"),
        pytest.param(body(parameters_json="{} {}"), 400, "malformed", id="parameters twice"),
        pytest.param(body(parameters_json="NaN"), 400, "malformed", id="not a number"),
        pytest.param(body(label=""), 400, "bad_name", id="no name"),
        pytest.param(body(label="../../etc/passwd"), 400, "bad_name", id="a path"),
        pytest.param(body(label="a b"), 400, "bad_name", id="a space"),
        pytest.param(body(label="a:b@c"), 400, "bad_name", id="what no key may have"),
        pytest.param(body(label="a.>"), 400, "bad_name", id="what no subject may have"),
        pytest.param(body(label="ä"), 400, "bad_name", id="not ASCII"),
        pytest.param(body(label="x" * 10_000), 400, "bad_name", id="a long label"),
        pytest.param(body(label="a\r\nX-Evil: 1"), 400, "bad_name", id="a header"),
        pytest.param(body(task_type="Echo!"), 400, "bad_name", id="a task type that is none"),
        pytest.param(body(task_id=""), 400, "bad_name", id="an empty id"),
        pytest.param(body(task_id="x" * 129), 400, "bad_name", id="a long id"),
        pytest.param(body(task_id="a\r\nX-Evil: 1"), 400, "bad_name", id="an id that is a header"),
        pytest.param(body(task_id="ä"), 400, "bad_name", id="an id that is not ASCII"),
        pytest.param(body(task_type="unheard_of"), 404, "unknown_task_type", id="unknown task type"),
        pytest.param(body(label="unknown/model"), 404, "unknown_model", id="unknown label"),
        pytest.param(body(label="broken/model"), 502, "load_failed", id="a label that cannot be loaded"),
        pytest.param(body(deadline_ms=1), 504, "deadline_passed", id="a deadline in the past"),
        pytest.param(body(task_type="misbehave"), 502, "worker_failed", id="a handler that fails"),
        pytest.param(
            body(task_type="misbehave", parameters_json={"how": "handler"}), 502, "worker_failed", id="on purpose"
        ),
        pytest.param(
            body(task_type="misbehave", parameters_json={"how": "large"}), 413, "too_large", id="a large result"
        ),
        pytest.param(
            body(task_type="embed_texts", parameters_json={"texts": []}), 422, "bad_parameters", id="no texts"
        ),
        pytest.param(
            body(task_type="embed_texts", parameters_json={"texts": ["a"] * 10_000}), 422, "bad_parameters", id="10,000"
        ),
        pytest.param(
            body(task_type="embed_texts", parameters_json={"texts": ["a" * 1_000_000]}),
            422,
            "bad_parameters",
            id="1 MB",
        ),
        pytest.param(body(task_type="sample_task", parameters_json="[]"), 422, "bad_parameters", id="wrong shape"),
        pytest.param(body(parameters_json={"x": "a" * 2_000_000}), 413, "too_large", id="more than NATS takes"),
        pytest.param(body(parameters_json={"x": "a" * 9_000_000}), 413, "too_large", id="over the limit of the body"),
    ],
)
async def test_bad_input_is_refused_with_a_problem_and_tasks_go_on(pool, content, status, code):
    response = await pool.http.post("/run-task", content=content)
    problem = await pool.problem(response, status, code)
    assert "X-Evil" not in response.headers
    if code != "bad_name":
        assert response.headers["Labelbus-Task-Id"] == problem["task_id"]
    assert (await pool.run()).status_code == 200
    assert len(pool.service.flights) == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/run-task", 405), ("DELETE", "/labels", 405), ("GET", "/", 404), ("POST", "/run-task/x", 404)],
)
async def test_paths_and_methods_that_are_not_there_are_problems_too(gateway, method, path, status):
    code = "method_not_allowed" if status == 405 else "not_found"
    await gateway.problem(await gateway.http.request(method, path), status, code)


async def test_an_id_in_flight_is_a_conflict_and_can_be_used_again_afterwards(pool):
    running = pool.begin(task_id="twin")
    await pool.gate.next_entered()
    problem = await pool.problem(await pool.run(task_id="twin"), 409, "exists")
    assert problem["task_id"] == "twin"
    pool.gate.open.set()
    assert (await running).status_code == 200
    assert (await pool.run(task_id="twin")).status_code == 200


async def raw(gateway: Gateway, *parts: bytes) -> bytes:
    """What the gateway answers to these bytes, to the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    try:
        async with asyncio.timeout(DEADLINE_S):
            for part in parts:
                writer.write(part)
                await writer.drain()
            return await reader.read()
    except ConnectionResetError:
        return b"reset"
    finally:
        writer.close()


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"X-Long: " + b"x" * 100_000 + b"\r\n", id="one long header"),
        pytest.param(b"".join(b"X-%d: %s\r\n" % (n, b"x" * 100) for n in range(2_000)), id="many headers"),
        pytest.param(b"X-Endless: " + b"x" * 1_000_000, id="a header without an end"),
    ],
)
async def test_headers_over_the_limit_are_refused(gateway, head):
    start = b"GET /health HTTP/1.1\r\nHost: x\r\n"
    end = b"" if b"Endless" in head else b"\r\n"
    answer = await raw(gateway, start + head[:60_000], head[60_000:] + end)
    assert answer == b"reset" or (answer.startswith(b"HTTP/1.1 431 ") and b'"code":"too_large"' in answer)
    assert (await gateway.http.get("/health")).status_code == 200


async def test_what_is_no_http_is_a_problem_as_well(gateway):
    answer = await raw(gateway, b"HELO there\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer
    assert b'"code":"malformed"' in answer


# ── nobody, too many, too late, gone ──


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
    soon = time.time_ns() // 1_000_000 + 300
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
    await until(lambda: len(pool.service.flights) == 0)
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
    gateway.service._gone("w1")
    assert (await gateway.http.get("/workers")).json() == {"workers": []}
    response = await gateway.run()
    assert (response.status_code, response.headers["Labelbus-Route"]) == (200, "any")
    assert response.headers["Labelbus-Worker"] == "w1"
    assert not worker.running.done()


async def listen(gateway: Gateway, subject: str, into: list[str]) -> None:
    async def heard(msg: Any) -> None:
        into.append(decode_task(msg.data).task_id)

    await gateway.bus.nc.subscribe(subject, cb=heard)
    await gateway.bus.settle()


# ── garbage on the bus ──


async def test_garbage_on_every_subject_is_counted_and_tasks_go_on(pool):
    subjects = pool.bus.subjects
    life = pool.service._inbox._life
    kv = await pool.bus.js.key_value(subjects.bucket)
    for payload in GARBAGE:
        for subject in (
            subjects.state("w1"),
            subjects.state("x"),
            subjects.reply("d1", f"{life}1"),
            subjects.reply("d1", "x"),
            subjects.reply("d1", "p-w1"),
            subjects.reply("d1", "9" * 1_000),
        ):
            await pool.bus.nc.publish(subject, payload)
        await kv.put("worker.w9", payload or b" ")
        await kv.put("worker.w1.x", payload or b" ")
        await kv.put("nonsense", payload or b" ")
    await pool.bus.nc.publish(subjects.reply("d1", "p-"), headers={"Status": "503"})
    await pool.bus.nc.publish(subjects.reply("d1", "x"), headers={"Status": "503"})
    await pool.bus.settle()
    await until(lambda: pool.service.counts.malformed == 6 * len(GARBAGE))
    await until(lambda: pool.service._watch.malformed == len(GARBAGE))
    assert (await pool.http.get("/workers")).json() == {"workers": ["w1"]}
    assert (await pool.run()).status_code == 200


@pytest.mark.parametrize(("retry", "runs"), [(True, 3), (False, 1)])
async def test_an_answer_that_cannot_be_read_is_tried_again_and_then_told_at_once(pool, monkeypatch, retry, runs):
    service = pool.workers["w1"].service
    sent = []

    async def nonsense(msg, payload):
        sent.append(msg.reply)
        await service._bus.nc.publish(msg.reply, b"\xff\xff")

    monkeypatch.setattr(service, "_send", nonsense)
    problem = await pool.problem(await pool.run(task_id="t", retry=retry), 502, "worker_failed")
    assert (problem["task_id"], problem["worker"]) == ("t", "w1")
    assert "cannot be read" in problem["detail"]
    assert len(sent) == runs
    assert pool.service.counts.malformed == runs
    assert pool.service.counts.retried == runs - 1
    monkeypatch.undo()
    assert (await pool.run()).status_code == 200


async def test_a_state_that_claims_the_impossible_harms_nobody(pool):
    wild = WorkerState(worker_id="liar", slots=0, capacity=0, running=2**32 - 1, epoch_ms=2**62, revision=2**63)
    await pool.bus.nc.publish(pool.bus.subjects.state("liar"), encode_state(wild))
    await pool.bus.settle()
    await until(lambda: len(pool.service.router.workers()) == 2)
    for _ in range(3):
        assert (await pool.run()).status_code == 200


async def test_a_late_result_is_dropped_and_counted(pool):
    result = Result(task_id="t", worker_id="w1", status=Status.OK, output=b'{"late": true}')
    running = pool.begin(task_id="t")
    await pool.gate.next_entered()
    for token in (f"{pool.service._inbox._life}99", "1", "0-1", "-1", ""):
        reply = pool.bus.subjects.reply("d1", token) if token else pool.bus.subjects.reply("d1", "²")
        await pool.bus.nc.publish(reply, encode_result(result))
    await until(lambda: pool.service.counts.late == 5)
    assert not running.done()
    pool.gate.open.set()
    assert (await running).json() == {"task": "t"}


async def test_a_result_for_an_earlier_life_of_the_dispatcher_meets_no_task_of_this_one(make_gateway):
    first = await make_gateway()
    await first.add_worker()
    running = first.begin(task_id="old")
    await first.gate.next_entered()
    second = await make_gateway()
    assert second.service._inbox._life != first.service._inbox._life
    running.cancel()
    await until(lambda: [view.worker_id for view in second.service.router.workers()] == ["w1"])
    young = second.begin("echo", task_id="young", parameters_json='{"mine": 1}')
    await until(lambda: "young" in second.service.flights)
    first.gate.open.set()
    assert (await young).json() == {"mine": 1}
    await until(lambda: second.service.counts.late == 1)


async def test_what_nats_does_not_take_is_503_and_costs_no_slot(pool, monkeypatch):
    import nats.errors

    publish = pool.component.bus.nc.publish

    async def full(subject: str, *args: Any, **kwargs: Any) -> None:
        if ".task." in subject:
            raise nats.errors.OutboundBufferLimitError
        await publish(subject, *args, **kwargs)

    monkeypatch.setattr(pool.component.bus.nc, "publish", full)
    for _ in range(3):
        await pool.problem(await pool.run(), 503, "unavailable")
    monkeypatch.setattr(pool.component.bus.nc, "publish", publish)
    assert (await pool.run()).status_code == 200


# ── NATS goes and comes ──


async def test_health_is_503_while_nats_is_away_and_ok_when_it_is_back(nats, make_gateway, settings):
    own = msgspec.structs.replace(settings, nats_url=nats.url)
    gateway = await make_gateway(on=own)
    await gateway.add_worker(heartbeat_s=1.0)
    assert (await gateway.run()).status_code == 200
    await asyncio.to_thread(nats.stop)
    await until(lambda: not gateway.component.bus.connected)
    for path in ("/health", "/health/ready"):
        await gateway.problem(await gateway.http.get(path), 503, "unavailable")
    assert (await gateway.http.get("/health/live")).status_code == 200
    waiting = gateway.begin("echo", task_id="t", parameters_json='{"kept": 1}')
    await until(lambda: "t" in gateway.service.flights)
    await asyncio.to_thread(nats.start)
    await until(lambda: gateway.component.bus.connected)
    assert (await gateway.http.get("/health")).json() == {"message": "OK"}
    assert (await waiting).status_code in (200, 503)
    await until(lambda: [view.worker_id for view in gateway.service.router.workers()] == ["w1"])
    assert (await gateway.run()).status_code == 200


# ── models ──


async def upload(gateway: Gateway, **fields: Any) -> Any:
    return await gateway.http.post("/upload-model", json={"model_id": "org/model", **fields})


async def converter(gateway: Gateway, answer: bytes) -> None:
    async def convert(msg: Any) -> None:
        await msg.respond(answer)

    await gateway.bus.nc.subscribe(gateway.bus.subjects.convert, cb=convert)
    await gateway.bus.settle()


async def test_an_upload_says_what_the_converter_says(gateway):
    await converter(gateway, encode_convert_reply(ConvertReply(model_name="org--model", message="done")))
    response = await upload(gateway)
    assert response.status_code == 200
    assert response.json() == {"status": "success", "model_name": "org--model", "message": "done"}


@pytest.mark.parametrize(
    ("code", "status"),
    [("exists", 409), ("unknown_model", 404), ("bad_name", 400), ("bad_parameters", 422), ("x", 502)],
)
async def test_an_upload_that_the_converter_refuses_has_its_status(gateway, code, status):
    await converter(gateway, encode_convert_reply(ConvertReply(model_name="", message="because", error_code=code)))
    problem = await gateway.problem(await upload(gateway), status, code if status != 502 else "worker_failed")
    assert problem["detail"] == "because"


async def test_a_converter_that_speaks_nonsense_is_not_the_clients_fault(gateway):
    await converter(gateway, b"\xff\xff")
    await gateway.problem(await upload(gateway), 502, "worker_failed")


async def test_an_upload_without_a_converter_is_503_at_once(gateway):
    problem = await gateway.problem(await upload(gateway), 503, "unavailable")
    assert "labelbus converter" in problem["detail"]


STOPPING = ConvertReply(model_name="org--model", message="it is being stopped", error_code="stopping")


async def test_an_upload_that_a_converter_gives_back_when_it_is_stopped_goes_to_another(gateway):
    replies = iter([STOPPING, STOPPING, ConvertReply(model_name="org--model", message="done")])

    async def convert(msg: Any) -> None:
        await msg.respond(encode_convert_reply(next(replies)))

    await gateway.bus.nc.subscribe(gateway.bus.subjects.convert, cb=convert)
    await gateway.bus.settle()
    assert (await upload(gateway)).json()["message"] == "done"


async def test_an_upload_that_the_last_converter_gives_back_says_so(gateway):
    listening = await gateway.bus.nc.subscribe(gateway.bus.subjects.convert)
    await gateway.bus.settle()
    uploading = asyncio.create_task(upload(gateway))
    asked = await listening.next_msg(timeout=DEADLINE_S)
    await listening.unsubscribe()
    await gateway.bus.settle()
    await asked.respond(encode_convert_reply(STOPPING))
    problem = await gateway.problem(await uploading, 503, "stopping")
    assert problem["detail"] == "it is being stopped"


async def test_an_upload_given_back_by_everyone_ends_some_time(gateway):
    await converter(gateway, encode_convert_reply(STOPPING))
    await gateway.problem(await upload(gateway), 503, "stopping")


async def test_a_client_that_goes_away_leaves_nothing_of_its_upload_behind(gateway):
    asked = asyncio.Event()

    async def convert(_: Any) -> None:
        asked.set()

    await gateway.bus.nc.subscribe(gateway.bus.subjects.convert, cb=convert)
    await gateway.bus.settle()
    listening = gateway.component.bus.nc._subs
    before = set(listening)
    uploading = asyncio.create_task(upload(gateway))
    await asyncio.wait_for(asked.wait(), DEADLINE_S)
    assert len(listening) == len(before) + 2
    uploading.cancel()
    await until(lambda: set(listening) == before)


async def test_a_converter_that_falls_silent_is_503(make_gateway):
    gateway = await make_gateway(convert_idle_s=0.2)

    async def ignore(msg: Any) -> None:
        await gateway.bus.nc.publish(gateway.bus.subjects.convert_event("org--model"), b"a sign of life")

    await gateway.bus.nc.subscribe(gateway.bus.subjects.convert, cb=ignore)
    await gateway.bus.settle()
    problem = await gateway.problem(await upload(gateway), 503, "unavailable")
    assert "silent" in problem["detail"]


@pytest.mark.parametrize(
    "fields",
    [
        {"model_id": ""},
        {"model_id": 1},
        {"model_id": "x" * 1025},
        {"max_batch_size": 0},
        {"max_batch_size": 1025},
        {"max_batch_size": "many"},
        {"overwrite": "perhaps"},
    ],
)
async def test_an_upload_that_does_not_fit_is_malformed(gateway, fields):
    await gateway.problem(await upload(gateway, **fields), 400, "malformed")


# ── the document ──


async def test_the_openapi_document_lists_every_call_with_its_problems(gateway):
    response = await gateway.http.get("/schema/openapi.json")
    assert response.status_code == 200
    document = response.json()
    assert document["openapi"].startswith("3.")
    assert set(document["paths"]) == {
        "/health",
        "/health/live",
        "/health/ready",
        "/labels",
        "/metrics",
        "/run-task",
        "/upload-model",
        "/workers",
    }
    assert set(document["paths"]["/metrics"]["get"]["responses"]["200"]["content"]) == {"text/plain"}
    answers = document["paths"]["/run-task"]["post"]["responses"]
    assert set(answers) == {"200", *(str(s) for s in (400, 404, 409, 413, 422, 429, 500, 502, 503, 504))}
    for status, answer in answers.items():
        if status != "200":
            assert set(answer["content"]) == {"application/problem+json"}
            reference = answer["content"]["application/problem+json"]["schema"]["$ref"]
            assert document["components"]["schemas"][reference.rpartition("/")[2]]["required"] == [
                "code",
                "detail",
                "status",
                "title",
                "type",
            ]
    assert references(document) <= {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}


def references(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(references, node))
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*map(references, node.values()))
    return set()


# ── codes ──


def every(kind: type[LabelbusError]) -> set[type[LabelbusError]]:
    return {kind}.union(*(every(sub) for sub in kind.__subclasses__() if sub.__module__ == "bus.errors"))


def test_every_code_has_a_status_and_comes_back_from_a_worker_as_what_it_was():
    assert set(STATUS) == {kind.code for kind in every(LabelbusError)}
    for kind in every(LabelbusError) - {LabelbusError}:
        assert type(error_of(kind.code, "why")) is kind
    assert isinstance(error_of(OverloadedError.code, "why"), OverloadedError)


@pytest.mark.parametrize("code", ["internal", "of_their_own", ""])
def test_a_workers_own_codes_are_the_workers_failure(code):
    assert type(error_of(code, "why")) is WorkerError


async def test_a_port_that_is_taken_is_refused_with_a_sentence(gateway, settings):
    async with connect(settings, name="second") as own:
        asked = {**msgspec.structs.asdict(settings), "dispatcher_id": "d2", "http_port": gateway.port}
        second = DispatcherSettings(**asked)
        with pytest.raises(UnavailableError, match=f"cannot listen on 127.0.0.1:{gateway.port}: is the port taken"):
            await asyncio.wait_for(serve(component(own, second), second), DEADLINE_S)
