"""A shorter way from the request to a handler and back, for the one route that is called thousands of times a second.

Litestar makes arguments of a request by way of extractors, a signature model and connection objects, and an answer
by way of three classes: 80 µs of CPU, half as much again as everything else the gateway does for a task
(docs/performance.md). A route with this middleware keeps its place in Litestar (routing, OpenAPI from the handler's
signature, exception handlers) and has its handler called with the decoded body at once.
"""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.exceptions import ClientException
from litestar.status_codes import HTTP_413_REQUEST_ENTITY_TOO_LARGE
from litestar.types import ASGIApp, Receive, Scope, Send

from bus.errors import MalformedError

RawHeaders = list[tuple[bytes, bytes]]
Handler = Callable[..., Awaitable[Response[bytes]]]


def fast_path(body_type: type[msgspec.Struct]) -> Callable[[ASGIApp], "FastPathRoute"]:
    """Middleware for a route whose handler takes `data: body_type` and `request`, and returns a `Response[bytes]`."""
    return partial(FastPathRoute, decode=msgspec.json.Decoder(body_type).decode)


class FastPathRoute:
    """Calls the handler of the route itself; what it raises goes to Litestar's exception handlers."""

    def __init__(self, app: ASGIApp, *, decode: Callable[[bytes], Any]) -> None:
        self.app: Final = app
        self._decode = decode

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; raises `MalformedError` for a body that does not fit."""
        route_handler: Any = scope["route_handler"]
        body = await read_body(receive, limit=route_handler.resolve_request_max_body_size())
        if body is None:
            return
        try:
            data = self._decode(body)
        except msgspec.ValidationError as exc:
            message, _, path = str(exc).partition(" - at ")
            raise MalformedError(f"{path.strip('`$.') or 'body'}: {message}") from exc
        except msgspec.DecodeError as exc:
            raise MalformedError(f"the body is not JSON: {exc}") from exc
        handler: Handler = route_handler.fn
        response = await handler(data=data, request=Request(scope, receive, send))
        await send_response(response, send)


class RawResponse(Response[bytes]):
    """A response of status 200 whose headers, names in lower case, are as ASGI wants them."""

    def __init__(self, content: bytes, *, media_type: str, headers: RawHeaders) -> None:  # not super's: 3 µs
        self.content = content
        self.raw_headers = headers
        self.headers = {}
        self.media_type = media_type
        self.status_code = 200
        self.background = None
        self.cookies = []
        self.encoding = "utf-8"
        self.response_type_encoders = {}


async def read_body(receive: Receive, *, limit: int | None) -> bytes | None:
    """The whole body; None if the client went away while sending it.

    Over `limit` bytes it is refused with status 413, as Litestar does, without reading the rest.
    """
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        assert message["type"] == "http.request"
        body = body + message["body"] if body else message["body"]
        if limit is not None and len(body) > limit:
            raise ClientException(
                status_code=HTTP_413_REQUEST_ENTITY_TOO_LARGE, detail=f"the body has more than {limit:,} bytes"
            )
        if not message.get("more_body"):
            return body


async def send_response(response: Response[bytes], send: Send) -> None:
    """Send a response whose content is bytes already."""
    content = response.content or b""
    headers = response.raw_headers if isinstance(response, RawResponse) else raw_headers(response.headers.items())
    headers.append((b"content-type", str(response.media_type).encode("ascii")))
    headers.append((b"content-length", b"%d" % len(content)))
    status = response.status_code or 200
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": False})


def raw_headers(headers: Iterable[tuple[str, str]]) -> RawHeaders:
    """Headers as ASGI wants them."""
    return [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in headers]
