"""A shorter way from a request to its handler and back, for routes that are called thousands of times a second.

Litestar makes the arguments of a handler with extractors, a signature model and connection objects, and an answer with
three classes: 80 µs of CPU, half as much again as all else that the gateway does for a task (docs/performance.md). A
handler with the middleware `fast_path(Body)` is called with the decoded body at once.

Litestar's promises hold: routing, middleware above the fast path, guards, exception handlers, the request class, type
decoders, the limit on bodies, hooks of the application, and OpenAPI from the handler's signature. An application that
asks for anything else on this route (`dispatcher.api.layers` has the list) is refused at start-up with an
`ImproperlyConfiguredException`. Bodies are held to more than Litestar asks for (`dispatcher.api.bodies`).
"""

from typing import Any, Final, cast

import msgspec
from litestar import Request, Response
from litestar.exceptions import ImproperlyConfiguredException
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send
from litestar.types.empty import Empty
from litestar.utils.scope.state import ScopeState

from dispatcher.api.bodies import BodyDecoder, check_headers, read_body
from dispatcher.api.layers import middleware_beneath, not_honoured, route_beneath
from dispatcher.api.responses import RawResponse, send_raw


class fast_path:  # noqa: N801  # read as a word of the handler's decorator
    """Middleware of one handler that takes `data: body_type` and `request` and returns a `Response[bytes]`.

    It must be the last in the handler's own `middleware`. A `RawResponse` is sent at once, any other as Litestar does.
    """

    def __init__(self, body_type: type[msgspec.Struct]) -> None:
        self._body_type = body_type

    def __call__(self, app: ASGIApp) -> ASGIApp:
        """Return the route; raises `ImproperlyConfiguredException` for what it would not honour."""
        route = route_beneath(app)
        if route is None:
            raise ImproperlyConfiguredException(
                f"the fast path would bypass {middleware_beneath(app)}: put fast_path last in the handler's "
                "`middleware`; CSRF, compression, allowed hosts and the response cache of Litestar cannot go with it"
            )
        handlers = [h for h in route.route_handlers if any(item is self for item in h.middleware or ())]
        if len(handlers) != 1:
            raise ImproperlyConfiguredException(
                f"fast_path on {route.path} must be in the `middleware` of one handler, not of a router or application"
            )
        [handler] = handlers
        if names := not_honoured(handler, self._body_type):
            raise ImproperlyConfiguredException(f"the fast path to {handler} does not honour: {'; '.join(names)}")
        fast = FastPathRoute(handler, self._body_type)
        if len(handler.resolve_middleware()) == 1:
            return fast
        exception_handler: Any = type(app)  # as Litestar wraps a route: middleware above must see an error's response
        return cast("ASGIApp", exception_handler(app=fast, debug=None))


class FastPathRoute:
    """The ASGI application that calls the handler; errors go to Litestar's exception handlers."""

    def __init__(self, handler: HTTPRouteHandler, body_type: type[msgspec.Struct]) -> None:
        self._handler: Final = handler
        self._call: Final = handler.fn
        self._request_class: Final = handler.resolve_request_class()
        self._limit: Final = handler.resolve_request_max_body_size()
        self._guarded: Final = bool(handler.resolve_guards())
        self._decode: Final = BodyDecoder(body_type, handler.default_deserializer).decode

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request: Request[Any, Any, Any] = self._request_class(scope, receive, send)
        if self._guarded:
            await self._handler.authorize_connection(connection=request)
        check_headers(scope["headers"], limit=self._limit)
        state = ScopeState.from_scope(scope)
        body = state.body
        if body is Empty:  # else a guard or middleware has read it
            read = await read_body(receive, limit=self._limit)
            if read is None:
                return
            body = state.body = read  # for a handler that asks the request for it
        response: Response[bytes] = await self._call(data=self._decode(body), request=request)
        if type(response) is RawResponse:
            await send_raw(response, send)
        else:
            answer = await self._handler.to_response(app=scope["litestar_app"], data=response, request=request)
            await answer(scope, receive, send)
