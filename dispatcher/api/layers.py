"""Features of Litestar that an application may put on a handler, and that the fast path does not honour.

Litestar collects them from four layers: application, router, controller and handler.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from litestar import Response
from litestar.enums import RequestEncodingType
from litestar.handlers import HTTPRouteHandler
from litestar.params import BodyKwarg
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp

ARGUMENTS: Final = {"data", "request"}
HOOKS: Final = ("before_request", "after_request", "after_response")


def route_beneath(app: ASGIApp) -> HTTPRoute | None:
    """Return the route that `app` leads to, or None if there is middleware between the two."""
    route = getattr(getattr(app, "app", None), "__self__", None)  # an exception handler around `HTTPRoute.handle`
    return route if isinstance(route, HTTPRoute) else None


def middleware_beneath(app: ASGIApp) -> str:
    """Return the name of that middleware."""
    return type(app).__name__


def not_honoured(handler: HTTPRouteHandler, body_type: type[msgspec.Struct]) -> list[str]:
    """Return the names of the features of this handler, and of the layers above it, that the fast path would bypass."""
    return [
        *_of_the_signature(handler, body_type),
        *_of_the_layers(handler),
        *_of_the_response(handler),
    ]


def _of_the_signature(handler: HTTPRouteHandler, body_type: type[msgspec.Struct]) -> Iterator[str]:
    parameters = handler.parsed_fn_signature.parameters
    dependencies = set(handler.resolve_dependencies())
    asked = set(parameters)
    for name in sorted(asked & dependencies | set(handler.dependencies or {})):
        yield f"dependencies ({name})"
    for name in sorted(asked - dependencies - ARGUMENTS):
        yield f"arguments other than data and request ({name})"
    for name in sorted(ARGUMENTS - asked):
        yield f"a handler without the argument {name}"
    for name in sorted(handler.resolve_layered_parameters()):
        yield f"parameters ({name})"
    if handler.has_sync_callable:
        yield "a handler that is not async"
    if (data := parameters.get("data")) is not None:
        if data.annotation is not body_type:
            yield f"data of another type than {body_type.__name__}"
        if data.has_default:
            yield "a default for data"
        if (
            isinstance(data.kwarg_definition, BodyKwarg)
            and data.kwarg_definition.media_type != RequestEncodingType.JSON
        ):
            yield "a body that is not JSON"


def _of_the_layers(handler: HTTPRouteHandler) -> Iterator[str]:
    layers: list[Any] = list(handler.ownership_layers)
    for hook in HOOKS:
        if any(getattr(layer, hook, None) for layer in layers):
            yield hook
    if handler.resolve_data_dto() is not None:
        yield "dto"
    if handler.resolve_return_dto() is not None:
        yield "return_dto"


def _of_the_response(handler: HTTPRouteHandler) -> Iterator[str]:
    for header in sorted(handler.resolve_response_headers(), key=lambda header: header.name):
        if not header.documentation_only:
            yield f"response_headers ({header.name})"  # cache_control and etag are among them
    for cookie in sorted(handler.resolve_response_cookies(), key=lambda cookie: cookie.key):
        if not cookie.documentation_only:
            yield f"response_cookies ({cookie.key})"
    if handler.cache:
        yield "cache"
    if handler.background is not None:
        yield "background"
    if not handler.parsed_return_field.is_subclass_of(Response):
        yield "a handler that does not return a Response"
