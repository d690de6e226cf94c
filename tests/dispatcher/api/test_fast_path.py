from typing import Annotated, Any

import msgspec
import pytest
from litestar import Litestar, Request, Response, post
from litestar.exceptions import HTTPException
from litestar.params import Body
from litestar.testing import TestClient

from bus.errors import LabelbusError
from dispatcher.api.fast_path import fast_path, read_body
from dispatcher.api.problems import on_http_exception, on_labelbus_error


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    one: int
    two: int = 2


@post("/sum", status_code=200, middleware=[fast_path(Numbers)])
async def add(data: Annotated[Numbers, Body()], request: Request[Any, Any, Any]) -> Response[bytes]:
    headers = {"Sum-Of": f"{data.one}+{data.two}", "Seen": request.headers.get("seen", "")}
    return Response(b"%d" % (data.one + data.two), media_type="application/json", headers=headers)


@pytest.fixture(scope="module")
def client():
    app = Litestar(
        [add],
        exception_handlers={LabelbusError: on_labelbus_error, HTTPException: on_http_exception},
        request_max_body_size=100,
    )
    with TestClient(app) as client:
        yield client


def test_the_handler_gets_the_decoded_body_and_its_response_is_sent(client):
    answer = client.post("/sum", content=b'{"one": 40}', headers={"Seen": "yes"})
    assert (answer.status_code, answer.json()) == (200, 42)
    assert (answer.headers["sum-of"], answer.headers["seen"]) == ("40+2", "yes")
    assert (answer.headers["content-type"], answer.headers["content-length"]) == ("application/json", "2")


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"", 400, "the body is not JSON: Input data was truncated"),
        (b'{"one": 1', 400, "the body is not JSON: Input data was truncated"),
        (b"[]", 400, "body: Expected `object`, got `array`"),
        (b"{}", 400, "body: Object missing required field `one`"),
        (b'{"one": "x"}', 400, "one: Expected `int`, got `str`"),
        (b'{"one": 1, "two": %b}' % (b"1" * 100), 413, "the body has more than 100 bytes"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_with_a_reason(client, body, status, detail):
    answer = client.post("/sum", content=body)
    assert (answer.status_code, answer.json()["detail"]) == (status, detail)
    assert answer.headers["content-type"] == "application/problem+json"


def test_other_methods_and_the_schema_are_litestars(client):
    assert client.get("/sum").status_code == 405
    schema = client.get("/schema/openapi.json").json()
    assert "Numbers" in str(schema["paths"]["/sum"]["post"]["requestBody"])


async def test_a_body_may_come_in_pieces_and_a_client_may_go_away():
    pieces = [
        {"type": "http.request", "body": b"ab", "more_body": True},
        {"type": "http.request", "body": b"cd", "more_body": False},
    ]

    async def receive() -> Any:
        return pieces.pop(0)

    assert await read_body(receive, limit=4) == b"abcd"
    pieces += [{"type": "http.request", "body": b"ab", "more_body": True}, {"type": "http.disconnect"}]
    assert await read_body(receive, limit=4) is None
