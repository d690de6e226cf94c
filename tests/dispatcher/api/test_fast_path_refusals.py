"""Features of Litestar that the fast path would bypass are refused at start-up."""

from typing import Annotated, Any

import msgspec
import pytest
from litestar import Response, Router, post
from litestar.background_tasks import BackgroundTask
from litestar.config.allowed_hosts import AllowedHostsConfig
from litestar.config.compression import CompressionConfig
from litestar.config.csrf import CSRFConfig
from litestar.datastructures import CacheControlHeader, Cookie, ETag, ResponseHeader
from litestar.di import NamedDependency
from litestar.dto import MsgspecDTO
from litestar.enums import RequestEncodingType
from litestar.exceptions import ImproperlyConfiguredException
from litestar.params import Body, FromQuery, HeaderParameter, JSONBody
from litestar.testing import TestClient

from dispatcher.api.fast_path import fast_path
from dispatcher.api.responses import RawResponse
from tests.dispatcher.api.summing_route import AnyRequest, Numbers, add, app, hook, route


def sync_handler(data: JSONBody[Numbers], request: AnyRequest) -> Response[bytes]:
    return RawResponse(b"", headers=[])


async def depends(data: JSONBody[Numbers], request: AnyRequest, user: NamedDependency[str]) -> Response[bytes]:
    return RawResponse(b"", headers=[])


async def asks_for_more(data: JSONBody[Numbers], request: AnyRequest, page: FromQuery[int]) -> Response[bytes]:
    return RawResponse(b"", headers=[])


async def without_request(data: JSONBody[Numbers]) -> Response[bytes]:
    return RawResponse(b"", headers=[])


async def returns_a_struct(data: JSONBody[Numbers], request: AnyRequest) -> Numbers:
    return data


async def with_a_default(request: AnyRequest, data: JSONBody[Numbers] = Numbers(one=1)) -> Response[bytes]:  # noqa: B008
    return RawResponse(b"", headers=[])


async def takes_a_form(
    data: Annotated[Numbers, Body(media_type=RequestEncodingType.URL_ENCODED)], request: AnyRequest
) -> Response[bytes]:
    return RawResponse(b"", headers=[])


class Other(msgspec.Struct):
    pass


async def provided() -> str:
    return "somebody"


def passing(app: Any) -> Any:
    async def call(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return call


@pytest.mark.parametrize(
    ("at", "name"),
    [
        pytest.param({"before_request": hook}, "before_request", id="before_request"),
        pytest.param({"after_request": hook}, "after_request", id="after_request"),
        pytest.param({"after_response": hook}, "after_response", id="after_response"),
        pytest.param({"response_headers": [ResponseHeader(name="X-A", value="1")]}, "X-A", id="response_headers"),
        pytest.param({"response_cookies": [Cookie(key="c", value="1")]}, "response_cookies (c)", id="response_cookies"),
        pytest.param({"cache_control": CacheControlHeader(no_store=True)}, "cache-control", id="cache_control"),
        pytest.param({"etag": ETag(value="x")}, "etag", id="etag"),
        pytest.param({"dto": MsgspecDTO[Numbers]}, "dto", id="dto"),
        pytest.param({"return_dto": MsgspecDTO[Numbers]}, "return_dto", id="return_dto"),
    ],
)
@pytest.mark.parametrize("layer", ["app", "router", "handler"])
def test_features_of_any_layer_that_the_fast_path_would_bypass_are_refused(layer, at, name):
    handler = returns_a_struct if name == "return_dto" else add
    make = {
        "handler": lambda: app(route(handler, **at)),
        "router": lambda: app(Router("/", route_handlers=[route(handler)], **at)),
        "app": lambda: app(route(handler), **at),
    }
    with pytest.raises(ImproperlyConfiguredException, match="does not honour") as refused:
        make[layer]()
    assert name in str(refused.value)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        pytest.param(lambda: app(route(dependencies={"user": provided})), r"dependencies \(user\)", id="unused"),
        pytest.param(lambda: app(route(depends), dependencies={"user": provided}), r"dependencies \(user\)", id="used"),
        pytest.param(lambda: app(route(asks_for_more)), r"\(page\)", id="a query parameter"),
        pytest.param(
            lambda: app(parameters={"token": HeaderParameter(annotation=str, name="X-Token")}),
            r"parameters \(token\)",
            id="a parameter of all routes",
        ),
        pytest.param(lambda: app(route(without_request)), "without the argument request", id="no request"),
        pytest.param(lambda: app(route(sync_handler, sync_to_thread=False)), "not async", id="sync"),
        pytest.param(lambda: app(route(returns_a_struct)), "does not return a Response", id="not a response"),
        pytest.param(lambda: app(route(with_a_default)), "a default for data", id="default"),
        pytest.param(lambda: app(route(takes_a_form)), "a body that is not JSON", id="form"),
        pytest.param(lambda: app(route(body=Other)), "another type than Other", id="another type"),
        pytest.param(lambda: app(route(background=BackgroundTask(print))), "background", id="background"),
        pytest.param(lambda: app(route(cache=True)), "ResponseCacheMiddleware", id="cache"),
        pytest.param(lambda: app(csrf_config=CSRFConfig(secret="s")), "CSRFMiddleware", id="csrf"),
        pytest.param(
            lambda: app(compression_config=CompressionConfig(backend="gzip")), "CompressionMiddleware", id="compression"
        ),
        pytest.param(
            lambda: app(allowed_hosts=AllowedHostsConfig(["x.com"])), "AllowedHostsMiddleware", id="allowed hosts"
        ),
        pytest.param(lambda: app(route(beneath=[passing])), "would bypass function", id="middleware beneath"),
        pytest.param(
            lambda: app(post("/sum", status_code=200)(add), middleware=[fast_path(Numbers)]),
            "must be in the `middleware` of one handler",
            id="on the application",
        ),
    ],
)
def test_what_else_the_fast_path_would_bypass_is_refused(make, name):
    with pytest.raises(ImproperlyConfiguredException, match=name):
        make()


def test_dependencies_that_the_handler_does_not_take_are_left_alone_as_in_litestar():
    with TestClient(app(dependencies={"user": provided})) as client:
        assert client.post("/sum", json={"one": 1}).json() == 3
