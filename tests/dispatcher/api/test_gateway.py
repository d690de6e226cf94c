"""The gateway: what goes in, what comes out, and with which status."""

import asyncio
from typing import Any

import msgspec
import pytest

from bus.connection import connect
from bus.errors import LabelbusError, OverloadedError, UnavailableError, WorkerError
from dispatcher.__main__ import serve, wire
from dispatcher.answers import TaskAnswer, error_of
from dispatcher.api.problems import STATUS
from dispatcher.api.tasks import task_headers
from dispatcher.settings import DispatcherSettings
from tests.dispatcher.conftest import DEADLINE_S, component, until

pytestmark = pytest.mark.nats


# ── what works ──


def test_the_answer_says_how_many_tasks_shared_the_run():
    assert dict(task_headers(TaskAnswer(task_id="t", pass_size=63)))[b"labelbus-pass"] == b"63"


async def test_a_task_goes_there_and_back_and_the_answer_says_how(pool):
    first = await pool.run(parameters_json='{"x": [1, 2.5, "ä"]}', task_id="t-1")
    assert first.status_code == 200
    assert first.json() == {"x": [1, 2.5, "ä"]}
    assert first.headers["content-type"] == "application/json"
    headers = first.headers
    assert (headers["Labelbus-Task-Id"], headers["Labelbus-Worker"]) == ("t-1", "w1")
    assert (headers["Labelbus-Route"], headers["Labelbus-Attempt"]) == ("load", "1")
    assert headers["Labelbus-Pass"] == "1"
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
    await until(lambda: "t" in gateway.service.in_flight)
    await asyncio.to_thread(nats.start)
    await until(lambda: gateway.component.bus.connected)
    assert (await gateway.http.get("/health")).json() == {"message": "OK"}
    assert (await waiting).status_code in (200, 503)
    await until(lambda: [view.worker_id for view in gateway.service.router.workers()] == ["w1"])
    assert (await gateway.run()).status_code == 200


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
    assert set(answers) == {"200", *(str(s) for s in (400, 404, 408, 409, 413, 415, 422, 429, 500, 502, 503, 504))}
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
    own_code = {kind for kind in every(LabelbusError) if "code" in vars(kind)}  # the others come back as their parent
    for kind in own_code - {LabelbusError}:
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
            await asyncio.wait_for(serve(wire(component(own, second), second)), DEADLINE_S)
