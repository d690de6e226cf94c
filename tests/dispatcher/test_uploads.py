"""POST /upload-model, with a converter that is played by the test."""

import asyncio
from typing import Any

import pytest

from bus.codec import encode_convert_reply
from bus.messages import ConvertReply
from tests.dispatcher.conftest import DEADLINE_S, Gateway, until

pytestmark = pytest.mark.nats


async def upload(gateway: Gateway, **fields: Any) -> Any:
    return await gateway.http.post("/upload-model", json={"model_id": "org/model", **fields})


async def converter(gateway: Gateway, answer: bytes) -> None:
    async def convert(msg: Any) -> None:
        await msg.respond(answer)

    await gateway.bus.subscribe(gateway.bus.subjects.convert, convert)
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


async def test_a_converter_whose_answer_cannot_be_decoded_is_not_the_clients_fault(gateway):
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

    await gateway.bus.subscribe(gateway.bus.subjects.convert, convert)
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

    await gateway.bus.subscribe(gateway.bus.subjects.convert, convert)
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
        await gateway.bus.publish(gateway.bus.subjects.convert_event("org--model"), b"a sign of life")

    await gateway.bus.subscribe(gateway.bus.subjects.convert, ignore)
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
