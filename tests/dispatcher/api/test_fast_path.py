"""The fast path past Litestar keeps what it does not refuse: guards, middleware above it, decoders, any response."""

from typing import Any

import msgspec
import pytest
from litestar import Controller, Litestar, MediaType, Request, Response, Router, post
from litestar.background_tasks import BackgroundTask
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie
from litestar.exceptions import ImproperlyConfiguredException, PermissionDeniedException
from litestar.handlers import BaseRouteHandler
from litestar.params import JSONBody
from litestar.testing import TestClient

from dispatcher.api.fast_path import fast_path
from dispatcher.api.models import upload_model_route
from dispatcher.api.responses import RawResponse
from dispatcher.api.tasks import run_task_route
from tests.dispatcher.api.summing_route import HANDLERS, AnyRequest, Numbers, app, hook, route


@pytest.fixture(scope="module")
def client():
    with TestClient(app()) as client:
        yield client


JSON = {"Content-Type": "application/json"}


def test_the_handler_gets_the_decoded_body_and_its_response_is_sent(client):
    answer = client.post("/sum", content=b'{"one": 40}', headers={"Seen": "yes", **JSON})
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
        (b'{"one": 1, "tow": 2}', 400, "unknown field `tow`: did you mean `two`?"),
        (b'{"one": 1, "colour": 2}', 400, "unknown field `colour`: the known fields are one, two"),
        (b'{"one": 1, "two": %b}' % (b"1" * 100), 413, "the body has more than 100 bytes"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_with_a_reason(client, body, status, detail):
    answer = client.post("/sum", content=body, headers=JSON)
    assert (answer.status_code, answer.json()["detail"]) == (status, detail)
    assert answer.headers["content-type"] == "application/problem+json"


def test_other_methods_and_the_schema_are_litestars(client):
    assert client.get("/sum").status_code == 405
    schema = client.get("/schema/openapi.json").json()
    assert "Numbers" in str(schema["paths"]["/sum"]["post"]["requestBody"])


# ── what holds as it does in Litestar ──


def test_guards_of_every_layer_run_in_their_order_with_the_requests_class_and_before_the_body_is_looked_at():
    seen: list[tuple[str, type, str]] = []

    class OwnRequest(Request[Any, Any, Any]):
        pass

    def guard(name: str, *, asynchronous: bool) -> Any:
        def look(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
            seen.append((name, type(connection), handler.handler_name))
            if connection.headers.get("refused-by") == name:
                raise PermissionDeniedException(f"refused by {name}")

        async def look_later(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
            look(connection, handler)

        return look_later if asynchronous else look

    class Sums(Controller):
        path = "/sums"
        guards = [guard("controller", asynchronous=True)]  # noqa: RUF012  # as Litestar has it

        @post("/sum", status_code=200, middleware=[fast_path(Numbers)], guards=[guard("handler", asynchronous=False)])
        async def add(self, data: JSONBody[Numbers], request: AnyRequest) -> Response[bytes]:
            assert type(request) is OwnRequest
            return RawResponse(b"1", headers=[])

    router = Router("/api", route_handlers=[Sums], guards=[guard("router", asynchronous=False)])
    guarded = app(router, guards=[guard("app", asynchronous=True)], request_class=OwnRequest)
    layers = ["app", "router", "controller", "handler"]
    with TestClient(guarded) as client:
        assert client.post("/api/sums/sum", json={"one": 1}).status_code == 200
        assert seen == [(name, OwnRequest, "add") for name in layers]
        for count, name in enumerate(layers, start=1):
            seen.clear()
            answer = client.post("/api/sums/sum", content=b"no JSON", headers={"refused-by": name})
            assert (answer.status_code, answer.json()["detail"]) == (403, f"refused by {name}")
            assert (answer.json()["code"], [look[0] for look in seen]) == ("forbidden", layers[:count])


def test_a_guard_or_the_handler_may_read_the_body_themselves():
    async def reader(connection: Any, _: BaseRouteHandler) -> None:
        assert await connection.body() == b'{"one": 40}'

    async def again(data: JSONBody[Numbers], request: AnyRequest) -> Response[bytes]:
        return RawResponse(await request.body(), headers=[])

    for guards in ([], [reader]):
        with TestClient(app(route(again, guards=guards))) as client:
            assert client.post("/sum", content=b'{"one": 40}', headers=JSON).json() == {"one": 40}


def test_middleware_above_sees_answers_and_errors_as_responses():
    def marking(app: Any) -> Any:
        async def call(scope: Any, receive: Any, send: Any) -> None:
            async def marked(message: Any) -> None:
                if message["type"] == "http.response.start":
                    message["headers"] = [*message["headers"], (b"marked", b"yes")]
                await send(message)

            await app(scope, receive, marked)

        return call

    for marked in (app(route(above=[marking])), app(middleware=[marking])):
        with TestClient(marked) as client:
            for content, status in ((b'{"one": 1}', 200), (b"{", 400)):
                answer = client.post("/sum", content=content, headers=JSON)
                assert (answer.status_code, answer.headers["marked"]) == (status, "yes")


def test_hooks_of_the_application_and_decoders_work():
    sent, failed = [], []

    async def before_send(message: Any, scope: Any) -> None:
        sent.append(message["type"])

    async def after_exception(exc: Exception, scope: Any) -> None:
        failed.append(type(exc))

    class Celsius:
        def __init__(self, degrees: float) -> None:
            self.degrees = degrees

    class Weather(msgspec.Struct, frozen=True, kw_only=True):
        now: Celsius

    async def tell(data: JSONBody[Weather], request: AnyRequest) -> Response[bytes]:
        return RawResponse(b"%d" % data.now.degrees, headers=[])

    decoders: Any = [(lambda kind: kind is Celsius, lambda kind, value: kind(value))]
    hooked = Litestar(
        [route(tell, Weather)],
        exception_handlers=HANDLERS,
        before_send=[before_send],
        after_exception=[after_exception],
        type_decoders=decoders,
        openapi_config=None,
    )
    with TestClient(hooked) as client:
        assert client.post("/sum", json={"now": 21}).json() == 21
        assert client.post("/sum", content=b"", headers=JSON).status_code == 400
    assert sent == ["http.response.start", "http.response.body"] * 2
    assert [kind.__name__ for kind in failed] == ["MalformedError"]


def test_any_other_response_is_sent_as_litestar_sends_it():
    done: list[int] = []

    async def other(data: JSONBody[Numbers], request: AnyRequest) -> Response[bytes]:
        return Response(
            b"text",
            status_code=202,
            media_type=MediaType.TEXT,
            headers={"X-Own": "1"},
            cookies=[Cookie(key="a", value="b")],
            background=BackgroundTask(done.append, 1),
        )

    with TestClient(app(route(other))) as client:
        answer = client.post("/sum", json={"one": 1})
    assert (answer.status_code, answer.text, answer.headers["x-own"]) == (202, "text", "1")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert (answer.cookies["a"], done) == ("b", [1])


@pytest.mark.parametrize("path", ["/run-task", "/upload-model"])
def test_the_gateways_own_routes_are_guarded_and_refuse_hooks(path):
    def deny(connection: Any, _: BaseRouteHandler) -> None:
        raise PermissionDeniedException("not you")

    unused: Any = None
    routes = [run_task_route(unused), upload_model_route(unused)]
    with TestClient(Litestar(routes, exception_handlers=HANDLERS, guards=[deny])) as client:
        answer = client.post(path, json={})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert ("Labelbus-Task-Id" in answer.headers) == (path == "/run-task")
    with pytest.raises(ImproperlyConfiguredException, match="does not honour: before_request"):
        Litestar([run_task_route(unused), upload_model_route(unused)], before_request=hook)
