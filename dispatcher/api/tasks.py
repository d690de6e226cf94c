"""POST /run-task."""

from functools import partial
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Body
from loguru import logger

from bus.errors import BadNameError, LabelbusError, MalformedError, reason
from bus.names import check_task_id, check_task_type, normalise_label
from dispatcher.answers import TaskAnswer, TaskRequest
from dispatcher.api.disconnects import CLIENT_CLOSED_REQUEST, ClientDisconnectedError, Disconnects
from dispatcher.api.fast_path import fast_path
from dispatcher.api.problems import RUN_TASK_PATH, documented, new_task_id, problem
from dispatcher.api.responses import RawHeaders, RawResponse
from dispatcher.api.schema import RunTask
from dispatcher.service import DispatcherService

MAX_TRACEPARENT_CHARS: Final = 128

_check_json = msgspec.json.Decoder(msgspec.Raw).decode
_encode = msgspec.json.Encoder().encode


def run_task_route(service: DispatcherService) -> HTTPRouteHandler:
    """Return the route, on this service."""
    disconnects = Disconnects()

    @post(
        RUN_TASK_PATH,
        status_code=200,
        middleware=[fast_path(RunTask)],
        summary="Run a task on a worker that holds its label",
        responses={
            200: ResponseSpec(data_container=dict[str, Any], description="The result, as the task type defines it"),
            **documented(400, 404, 408, 409, 413, 415, 422, 429, 500, 502, 503, 504),
        },
    )
    async def run_task(
        data: Annotated[RunTask, Body(description="The task")], request: Request[Any, Any, Any]
    ) -> Response[bytes]:
        try:
            task_id = new_task_id() if data.task_id is None else check_task_id(data.task_id)
        except BadNameError as exc:
            return problem(exc, task_id=new_task_id())
        try:
            task = to_request(data, task_id, _traceparent(request))
            with disconnects.watched(request.receive, partial(service.cancel, task_id)):
                answer = await service.run_task(task)
        except ClientDisconnectedError:
            logger.bind(task_id=task_id, label=data.label).info("client disconnected, task cancelled")
            return RawResponse(b"", headers=[], status_code=CLIENT_CLOSED_REQUEST)  # no client reads it
        except LabelbusError as exc:
            return problem(exc, task_id=task_id)
        if answer.error is not None:
            return problem(answer.error, task_id=task_id, worker=answer.worker_id, headers=task_headers(answer))
        return RawResponse(answer.output, headers=task_headers(answer))

    return run_task


def _traceparent(request: Request[Any, Any, Any]) -> str:
    for name, value in request.scope["headers"]:
        if name == b"traceparent":
            return value.decode("latin-1")
    return ""


def to_request(data: RunTask, task_id: str, traceparent: str) -> TaskRequest:
    """Return the task, checked as far as the gateway can; raises `BadNameError` or `MalformedError`."""
    if isinstance(data.parameters_json, str):
        try:
            parameters = data.parameters_json.encode()
            _check_json(parameters)
        except (msgspec.DecodeError, UnicodeError) as exc:
            raise MalformedError(f"parameters_json is not JSON: {reason(exc)}") from exc
        except RecursionError as exc:
            raise MalformedError("parameters_json is nested too deeply") from exc
    else:
        parameters = _encode(data.parameters_json)
    return TaskRequest(
        task_id=task_id,
        task_type=check_task_type(data.task_type),
        label=normalise_label(data.label),
        parameters=parameters,
        deadline_ms=data.deadline_ms or 0,
        retry=data.retry,
        traceparent=traceparent if len(traceparent) <= MAX_TRACEPARENT_CHARS else "",
    )


def task_headers(answer: TaskAnswer) -> RawHeaders:
    """Return the headers that say where and why the task ran, and its times."""
    headers = [
        (b"labelbus-task-id", answer.task_id.encode()),
        (b"labelbus-worker", answer.worker_id.encode()),
        (b"labelbus-route", answer.route.encode()),
        (b"labelbus-queue-ms", b"%.2f" % answer.queue_ms),
        (b"labelbus-load-ms", b"%.2f" % answer.load_ms),
        (b"labelbus-run-ms", b"%.2f" % answer.run_ms),
        (b"labelbus-expected-ms", b"%.2f" % answer.expected_ms),
        (b"labelbus-attempt", b"%d" % answer.attempt),
        (b"labelbus-pass", b"%d" % answer.pass_size),
    ]
    if answer.evicted_label:
        headers.append((b"labelbus-evicted", answer.evicted_label.encode()))
    return headers
