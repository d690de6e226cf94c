"""An application with one route on the fast path, POST /sum, which adds two numbers."""

from typing import Any

import msgspec
from litestar import Litestar, Request, Response, post
from litestar.exceptions import HTTPException
from litestar.params import JSONBody

from bus.errors import LabelbusError
from dispatcher.api.fast_path import fast_path
from dispatcher.api.problems import on_http_exception, on_labelbus_error
from dispatcher.api.responses import RawResponse

AnyRequest = Request[Any, Any, Any]
HANDLERS: Any = {LabelbusError: on_labelbus_error, HTTPException: on_http_exception}


class Numbers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    one: int
    two: int = 2


async def add(data: JSONBody[Numbers], request: AnyRequest) -> Response[bytes]:
    headers = [(b"sum-of", b"%d+%d" % (data.one, data.two)), (b"seen", request.headers.get("seen", "").encode())]
    return RawResponse(b"%d" % (data.one + data.two), headers=headers)


def route(handler: Any = add, body: Any = Numbers, **fields: Any) -> Any:
    middleware = [*fields.pop("above", []), fast_path(body), *fields.pop("beneath", [])]
    return post("/sum", status_code=200, middleware=middleware, **fields)(handler)


def app(handler: Any = None, **fields: Any) -> Litestar:
    return Litestar([handler or route()], exception_handlers=HANDLERS, request_max_body_size=100, **fields)


async def hook(request: Any) -> None:
    """Do nothing: a hook of any kind."""
