"""Errors as problem details (RFC 9457). The one place where a code gets its HTTP status."""

import random
from enum import Enum
from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar import Request
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec
from loguru import logger

from bus import errors
from bus.errors import LabelbusError, OverloadedError, UnsupportedMediaTypeError
from dispatcher.api.responses import RawHeaders, RawResponse
from dispatcher.api.schema import Problem

MEDIA_TYPE: Final = "application/problem+json"
RUN_TASK_PATH: Final = "/run-task"
RUN_TASK: Final = ("POST", RUN_TASK_PATH)
TASK_ID_HEADER: Final = "Labelbus-Task-Id"

STATUS: Final[dict[str, HTTPStatus]] = {
    errors.MalformedError.code: HTTPStatus.BAD_REQUEST,
    errors.BadNameError.code: HTTPStatus.BAD_REQUEST,
    errors.InvalidInputError.code: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.BadParametersError.code: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.TooLargeError.code: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnsupportedMediaTypeError.code: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.NotFoundError.code: HTTPStatus.NOT_FOUND,
    errors.UnknownModelError.code: HTTPStatus.NOT_FOUND,
    errors.UnknownTaskTypeError.code: HTTPStatus.NOT_FOUND,
    errors.ConflictError.code: HTTPStatus.CONFLICT,
    errors.OverloadedError.code: HTTPStatus.TOO_MANY_REQUESTS,
    errors.NoWorkerError.code: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.UnavailableError.code: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.StoppingError.code: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.RuntimeUnavailableError.code: HTTPStatus.BAD_GATEWAY,
    errors.WorkerError.code: HTTPStatus.BAD_GATEWAY,
    errors.LoadError.code: HTTPStatus.BAD_GATEWAY,
    errors.DeadlineError.code: HTTPStatus.GATEWAY_TIMEOUT,
    errors.LabelbusError.code: HTTPStatus.INTERNAL_SERVER_ERROR,
}

_HTTP_CODES: Final[dict[int, str]] = {
    400: errors.MalformedError.code,
    401: "unauthorized",
    403: "forbidden",
    404: errors.NotFoundError.code,
    405: "method_not_allowed",
    413: errors.TooLargeError.code,
}
"""Codes of what Litestar or a guard refuses before a handler sees it."""


class ProtocolError(Enum):
    """Reasons to refuse what a connection brings before there is a request to route; each with status and code."""

    NOT_HTTP = (HTTPStatus.BAD_REQUEST, errors.MalformedError.code)
    TOO_SLOW = (HTTPStatus.REQUEST_TIMEOUT, "request_timeout")
    HEAD_TOO_LARGE = (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, errors.TooLargeError.code)


_encode = msgspec.json.Encoder().encode


def new_task_id() -> str:
    """Return an id for a task whose client named none."""
    return f"{random.getrandbits(128):032x}"


def problem(
    error: LabelbusError, *, task_id: str = "", worker: str = "", headers: RawHeaders | None = None
) -> RawResponse:
    """Return the answer to a request that ended in this error; `headers`, if given, name the task already."""
    extra = _id_header(task_id) if headers is None else headers
    if isinstance(error, OverloadedError):
        extra.append((b"retry-after", b"%d" % max(1, round(error.retry_after_s))))
    if isinstance(error, UnsupportedMediaTypeError):
        extra += [(b"accept", b"application/json"), (b"accept-encoding", b"identity")]
    return _response(STATUS[error.code], error.code, str(error), task_id=task_id, worker=worker, headers=extra)


def on_labelbus_error(request: Request[Any, Any, Any], error: LabelbusError) -> RawResponse:
    """Return `problem` for an error that a route raised."""
    return problem(error, task_id=_id_for(request))


def on_http_exception(request: Request[Any, Any, Any], exc: HTTPException) -> RawResponse:
    """Return the problem for what Litestar refuses: unknown paths and methods, guards' refusals, bad Host headers."""
    status = HTTPStatus(exc.status_code)
    detail = exc.detail
    extra = exc.extra if isinstance(exc.extra, list) else []
    reasons = [f"{item.get('key', 'body')}: {item.get('message', '')}" for item in extra if isinstance(item, dict)]
    if reasons:
        detail = "; ".join(reasons)
    code = _HTTP_CODES.get(status, "internal" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "malformed")
    task_id = _id_for(request)
    headers = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in (exc.headers or {}).items()]
    return _response(status, code, detail, task_id=task_id, headers=headers + _id_header(task_id))


def on_unexpected(request: Request[Any, Any, Any], exc: Exception) -> RawResponse:
    """Log a fault of the dispatcher with its traceback; return a problem without it."""
    task_id = _id_for(request)
    log = logger.bind(method=request.method, path=request.url.path, task_id=task_id)
    log.opt(exception=exc).error("request failed unexpectedly")
    return _response(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        LabelbusError.code,
        "an error in the dispatcher; its log has the details",
        task_id=task_id,
        headers=_id_header(task_id),
    )


def protocol_problem(error: ProtocolError, detail: str, *, method: str = "", path: str = "") -> bytes:
    """Return the last response of a connection, as HTTP/1.1 has it; `method` and `path` where they could be read."""
    status, code = error.value
    task_id = new_task_id() if (method, path) == RUN_TASK else ""
    body = problem_body(status, code, detail, task_id=task_id)
    id_line = f"{TASK_ID_HEADER}: {task_id}\r\n" if task_id else ""
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n{id_line}"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


def _id_for(request: Request[Any, Any, Any]) -> str:
    """Return an id for a task that was refused before its own could be read; "" if the request is not for a task."""
    return new_task_id() if (request.method, request.url.path) == RUN_TASK else ""


def _id_header(task_id: str) -> RawHeaders:
    return [(TASK_ID_HEADER.lower().encode("ascii"), task_id.encode("ascii"))] if task_id else []


def problem_body(status: HTTPStatus, code: str, detail: str, *, task_id: str = "", worker: str = "") -> bytes:
    """Return problem details as JSON."""
    return _encode(
        Problem(
            type=f"urn:labelbus:problem:{code}",
            title=status.phrase,
            status=status,
            detail=detail,
            code=code,
            task_id=task_id,
            worker=worker,
        )
    )


def documented(*statuses: int) -> dict[int, ResponseSpec]:
    """Return the problem answers of an operation, for OpenAPI."""
    return {
        status: ResponseSpec(
            data_container=Problem,
            description=HTTPStatus(status).phrase,
            media_type=MEDIA_TYPE,
            generate_examples=False,
        )
        for status in statuses
    }


def _response(
    status: HTTPStatus, code: str, detail: str, *, task_id: str = "", worker: str = "", headers: RawHeaders
) -> RawResponse:
    body = problem_body(status, code, detail, task_id=task_id, worker=worker)
    return RawResponse(body, status_code=status, media_type=MEDIA_TYPE, headers=headers)
