"""Errors as problem details (RFC 9457). The one place where a code gets its HTTP status."""

import uuid
from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec
from loguru import logger

from bus import errors
from bus.errors import LabelbusError, MalformedError, OverloadedError
from dispatcher.api.schema import Problem

MEDIA_TYPE: Final = "application/problem+json"
RUN_TASK_PATH: Final = "/run-task"
TASK_ID_HEADER: Final = "Labelbus-Task-Id"

STATUS: Final[dict[str, HTTPStatus]] = {
    errors.MalformedError.code: HTTPStatus.BAD_REQUEST,
    errors.BadNameError.code: HTTPStatus.BAD_REQUEST,
    errors.InvalidInputError.code: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.BadParametersError.code: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.TooLargeError.code: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
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
    404: errors.NotFoundError.code,
    405: "method_not_allowed",
    413: errors.TooLargeError.code,
}
"""Codes of what Litestar refuses before a handler sees it."""

_encode = msgspec.json.Encoder().encode


def problem(
    error: LabelbusError, *, task_id: str = "", worker: str = "", headers: dict[str, str] | None = None
) -> Response[bytes]:
    """The answer to a request that ended in this error."""
    status = STATUS[error.code]
    extra = dict(headers or {})
    if isinstance(error, OverloadedError):
        extra["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return _response(status, error.code, str(error), task_id=task_id, worker=worker, headers=extra)


def on_labelbus_error(request: Request[Any, Any, Any], error: LabelbusError) -> Response[bytes]:
    """Litestar's way to `problem`."""
    task_id = _made_up_id(request)
    return problem(error, task_id=task_id, headers=_id_header(task_id))


def on_http_exception(request: Request[Any, Any, Any], exc: HTTPException) -> Response[bytes]:
    """What Litestar itself refuses: unknown paths and methods, malformed bodies, bodies over the limit."""
    status = HTTPStatus(exc.status_code)
    detail = exc.detail
    extra = exc.extra if isinstance(exc.extra, list) else []
    reasons = [f"{item.get('key', 'body')}: {item.get('message', '')}" for item in extra if isinstance(item, dict)]
    if reasons:
        detail = "; ".join(reasons)
    code = _HTTP_CODES.get(status, "internal" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "malformed")
    task_id = _made_up_id(request)
    return _response(status, code, detail, task_id=task_id, headers={**(exc.headers or {}), **_id_header(task_id)})


def on_unexpected(request: Request[Any, Any, Any], exc: Exception) -> Response[bytes]:
    """A fault of ours: logged with its traceback, told without it."""
    task_id = _made_up_id(request)
    log = logger.bind(method=request.method, path=request.url.path, task_id=task_id)
    log.opt(exception=exc).error("request failed unexpectedly")
    return _response(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        LabelbusError.code,
        "an error in the dispatcher; its log has the details",
        task_id=task_id,
        headers=_id_header(task_id),
    )


def on_undecodable(request: Request[Any, Any, Any], exc: Exception) -> Response[bytes]:
    """A body that is nested too deeply or is no UTF-8, which Litestar does not count among the malformed."""
    deep = "the body is nested too deeply"
    detail = deep if isinstance(exc, RecursionError) else f"the body is not UTF-8: {exc}"
    return on_labelbus_error(request, MalformedError(detail))


def _made_up_id(request: Request[Any, Any, Any]) -> str:
    """For a task that was refused before its own id could be read: every answer to a task names one."""
    return uuid.uuid4().hex if request.url.path == RUN_TASK_PATH else ""


def _id_header(task_id: str) -> dict[str, str]:
    return {TASK_ID_HEADER: task_id} if task_id else {}


def problem_body(status: HTTPStatus, code: str, detail: str, *, task_id: str = "", worker: str = "") -> bytes:
    """Problem details as JSON."""
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
    """Problem answers of an operation, for OpenAPI."""
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
    status: HTTPStatus,
    code: str,
    detail: str,
    *,
    task_id: str = "",
    worker: str = "",
    headers: dict[str, str] | None = None,
) -> Response[bytes]:
    body = problem_body(status, code, detail, task_id=task_id, worker=worker)
    return Response(body, status_code=status, media_type=MEDIA_TYPE, headers=headers or {})
