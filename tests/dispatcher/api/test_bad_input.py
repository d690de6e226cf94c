"""Requests that the gateway refuses before a task begins."""

import asyncio
import json
import re
from typing import Any

import pytest

from tests.dispatcher.conftest import DEADLINE_S, Gateway

pytestmark = pytest.mark.nats

JSON = {"Content-Type": "application/json"}
CONTENT_TYPE = "Content-Type: application/json"
HEADER = f"the header `{CONTENT_TYPE}`"
FORM = "application/x-www-form-urlencoded, which curl sends unless told otherwise"
TASK_ID = re.compile("[0-9a-f]{32}")


def body(**fields: Any) -> bytes:
    return json.dumps({"task_type": "echo", "label": "a", "parameters_json": "{}", **fields}).encode()


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
        pytest.param(body(dedline_ms=5), 400, "malformed", id="an unknown field"),
        pytest.param(body(**{"x" * 1_000_000: 5}), 400, "malformed", id="an unknown field with a long name"),
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
    response = await pool.http.post("/run-task", content=content, headers=JSON)
    problem = await pool.problem(response, status, code)
    assert "X-Evil" not in response.headers
    assert TASK_ID.fullmatch(response.headers["Labelbus-Task-Id"])
    assert response.headers["Labelbus-Task-Id"] == problem["task_id"]
    assert (await pool.run()).status_code == 200
    assert len(pool.service.in_flight) == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/run-task", 405), ("DELETE", "/labels", 405), ("GET", "/", 404), ("POST", "/run-task/x", 404)],
)
async def test_paths_and_methods_that_are_not_there_are_problems_too(gateway, method, path, status):
    code = "method_not_allowed" if status == 405 else "not_found"
    await gateway.problem(await gateway.http.request(method, path), status, code)


@pytest.mark.parametrize(
    ("path", "fields", "detail"),
    [
        ("/run-task", {"dedline_ms": 1}, "unknown field `dedline_ms`: did you mean `deadline_ms`?"),
        ("/run-task", {"retries": 1}, "unknown field `retries`: did you mean `retry`?"),
        ("/run-task", {"zzz": 1}, "unknown field `zzz`: the known fields are task_type, label, "),
        ("/upload-model", {"max_batchsize": 1}, "unknown field `max_batchsize`: did you mean `max_batch_size`?"),
    ],
)
async def test_an_unknown_field_is_refused_with_the_nearest_known_one(gateway, path, fields, detail):
    known = {"task_type": "echo", "label": "a", "parameters_json": "{}"} if path == "/run-task" else {"model_id": "a/b"}
    problem = await gateway.problem(await gateway.http.post(path, json={**known, **fields}), 400, "malformed")
    assert problem["detail"].startswith(detail)


# ── media types ──


@pytest.mark.parametrize("path", ["/run-task", "/upload-model"])
@pytest.mark.parametrize(
    ("content_type", "encoding", "detail"),
    [
        ("", "", "the body has no Content-Type; add the header `Content-Type: application/json`"),
        ("application/x-www-form-urlencoded", "", f"bodies must be JSON, not {FORM}; add -H '{CONTENT_TYPE}'"),
        ("multipart/form-data; boundary=x", "", f"bodies must be JSON, not multipart/form-data; send {HEADER}"),
        ("text/plain", "", f"bodies must be JSON, not text/plain; send {HEADER}"),
        ("text/plain; x=application/json", "", f"bodies must be JSON, not text/plain; send {HEADER}"),
        ("application/ld+json", "", f"bodies must be JSON, not application/ld+json; send {HEADER}"),
        ("json", "", f"bodies must be JSON, not json; send {HEADER}"),
        ("x" * 5_000, "", f"bodies must be JSON, not {'x' * 64}…; send {HEADER}"),
        ("application/json; charset=latin-1", "", "JSON must be in UTF-8, not latin-1"),
        ("application/json", "gzip", "a body with Content-Encoding gzip is not understood; send it uncompressed"),
        ("application/json", "identity, br", "a body with Content-Encoding identity, br is not understood; send it"),
    ],
)
async def test_a_body_that_is_not_plain_json_is_refused_with_what_to_send(
    gateway, path, content_type, encoding, detail
):
    headers = {"Content-Type": content_type} if content_type else {}
    headers |= {"Content-Encoding": encoding} if encoding else {}
    response = await gateway.http.post(path, content=body(), headers=headers)
    problem = await gateway.problem(response, 415, "unsupported_media_type")
    assert problem["detail"].startswith(detail)
    assert (response.headers["Accept"], response.headers["Accept-Encoding"]) == ("application/json", "identity")
    assert ("Labelbus-Task-Id" in response.headers) == (path == "/run-task")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json; charset=utf-8"},
        {"Content-Type": 'Application/JSON;charset="UTF-8"'},
        {"Content-Type": "application/json; charset=utf8; profile=x"},
        {"Content-Type": "application/json", "Content-Encoding": "identity"},
    ],
)
async def test_json_may_be_named_in_any_of_its_ways(pool, headers):
    assert (await pool.http.post("/run-task", content=body(), headers=headers)).status_code == 200


async def test_every_route_that_takes_a_body_takes_json_alone(gateway):
    document = (await gateway.http.get("/schema/openapi.json")).json()
    found = [path for path, item in document["paths"].items() if "post" in item or "put" in item or "patch" in item]
    assert found
    for path in found:
        response = await gateway.http.post(path, content=b"a=b", headers={"Content-Type": "text/plain"})
        await gateway.problem(response, 415, "unsupported_media_type")


# ── ids ──


async def test_an_answer_to_a_task_names_it_and_other_answers_name_none(pool):
    named = await pool.run(task_id="mine")
    assert named.headers["Labelbus-Task-Id"] == "mine"
    for refused in ("", "ä", "x" * 129, "a b"):
        response = await pool.run(task_id=refused)
        problem = await pool.problem(response, 400, "bad_name")
        assert TASK_ID.fullmatch(response.headers["Labelbus-Task-Id"])
        assert problem["task_id"] == response.headers["Labelbus-Task-Id"]
    for response in (
        await pool.http.get("/run-task"),
        await pool.http.get("/nowhere"),
        await pool.http.post("/upload-model", content=b"{", headers=JSON),
    ):
        assert response.status_code in (400, 404, 405)
        assert "Labelbus-Task-Id" not in response.headers
        assert "task_id" not in response.json()


async def test_an_id_in_flight_is_a_conflict_and_can_be_used_again_afterwards(pool):
    running = pool.begin(task_id="twin")
    await pool.gate.next_entered()
    problem = await pool.problem(await pool.run(task_id="twin"), 409, "exists")
    assert problem["task_id"] == "twin"
    pool.gate.open.set()
    assert (await running).status_code == 200
    assert (await pool.run(task_id="twin")).status_code == 200


async def raw(gateway: Gateway, *parts: bytes) -> bytes:
    """Return what the gateway answers to these bytes, to the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    try:
        async with asyncio.timeout(DEADLINE_S):
            for part in parts:
                writer.write(part)
                await writer.drain()
            return await reader.read()
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
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b'"code":"too_large"' in answer
    assert b"Labelbus-Task-Id" not in answer
    assert (await gateway.http.get("/health")).status_code == 200


async def test_what_is_no_http_is_a_problem_as_well(gateway):
    answer = await raw(gateway, b"HELO there\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer
    assert b'"code":"malformed"' in answer


async def test_a_body_that_is_no_http_is_a_problem_that_names_its_task(gateway):
    head = b"POST /run-task HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    answer = await raw(gateway, head + b"Transfer-Encoding: chunked\r\n\r\n", b"not a length\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    [task_id] = re.findall(rb"Labelbus-Task-Id: (\w+)\r\n", answer)
    assert b'"task_id":"%s"' % task_id in answer


async def test_who_asks_for_a_websocket_is_answered_over_http(gateway):
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "eA==",
    }
    answer = await gateway.http.get("/health", headers=upgrade)
    assert (answer.status_code, answer.json()) == (200, {"message": "OK"})


async def test_requests_that_come_in_one_piece_are_answered_in_their_order(gateway):
    request = b"GET /health HTTP/1.1\r\nHost: x\r\n%s\r\n"
    last = b"GET /labels HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await raw(gateway, (request % b"") * 2 + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.endswith(b"\r\n\r\n{}")
