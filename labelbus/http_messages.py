"""Requests to the gateway as JSON, and its answers as values; an answer of anything else is a `ProblemError`."""

import json
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import httpx
import msgspec

from bus.errors import BadParametersError, ProblemError, reason

T = TypeVar("T")

NOT_A_GATEWAY: Final = "unknown"
"""`code` of the error for an answer that no gateway gives."""


class TaskResult(msgspec.Struct, frozen=True, kw_only=True):
    """The output of a task, the worker that ran it, and what that cost (milliseconds).

    `pass_size` is the number of tasks that shared the run of the model, this one included.
    """

    output: Any
    task_id: str
    worker: str
    route: str
    queue_ms: float
    load_ms: float
    run_ms: float
    evicted: str = ""
    pass_size: int = 1


class Uploaded(msgspec.Struct, frozen=True, kw_only=True):
    """A model that was converted; `message` says where it came from."""

    model_name: str
    message: str


class _Problem(msgspec.Struct, frozen=True):
    """Problem details (RFC 9457) as far as a client needs them."""

    code: str
    detail: str = ""
    task_id: str = ""
    worker: str = ""


class _Embeddings(msgspec.Struct, frozen=True):
    embeddings: list[list[float]]


class _Workers(msgspec.Struct, frozen=True):
    workers: list[str]


def task_body(task_type: str, label: str, parameters: Mapping[str, Any], task_id: str | None) -> bytes:
    """Return the body of `POST /run-task`; `BadParametersError` if it cannot be JSON."""
    body: dict[str, Any] = {"task_type": task_type, "label": label, "parameters_json": dict(parameters)}
    return _to_json(body if task_id is None else {**body, "task_id": task_id})


def upload_body(model_id: str, max_batch_size: int, *, overwrite: bool) -> bytes:
    """Return the body of `POST /upload-model`; `BadParametersError` if it cannot be JSON."""
    return _to_json({"model_id": model_id, "max_batch_size": max_batch_size, "overwrite": overwrite})


def read_task_result(answer: httpx.Response) -> TaskResult:
    """Return the result in the answer to `POST /run-task`; `ProblemError` if there is none."""
    output = _read(answer, object)
    headers = answer.headers
    try:
        return TaskResult(
            output=output,
            task_id=headers["Labelbus-Task-Id"],
            worker=headers["Labelbus-Worker"],
            route=headers["Labelbus-Route"],
            queue_ms=float(headers["Labelbus-Queue-Ms"]),
            load_ms=float(headers["Labelbus-Load-Ms"]),
            run_ms=float(headers["Labelbus-Run-Ms"]),
            evicted=headers.get("Labelbus-Evicted", ""),
            pass_size=int(headers.get("Labelbus-Pass", "1")),
        )
    except (KeyError, ValueError) as exc:
        raise _not_a_gateway(answer) from exc


def embeddings_of(result: TaskResult) -> list[list[float]]:
    """Return the embeddings in the result of `embed_texts`."""
    try:
        return msgspec.convert(result.output, _Embeddings).embeddings
    except msgspec.ValidationError as exc:
        raise ProblemError(
            f"the result of task {result.task_id} is not one of embed_texts: {exc}",
            status=200,
            code=NOT_A_GATEWAY,
            task_id=result.task_id,
            worker=result.worker,
        ) from exc


def read_uploaded(answer: httpx.Response) -> Uploaded:
    """Return the answer to `POST /upload-model`."""
    return _read(answer, Uploaded)


def read_workers(answer: httpx.Response) -> list[str]:
    """Return the answer to `GET /workers`."""
    return _read(answer, _Workers).workers


def read_labels(answer: httpx.Response) -> dict[str, list[str]]:
    """Return the answer to `GET /labels`."""
    return _read(answer, dict[str, list[str]])


def _to_json(body: dict[str, Any]) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise BadParametersError(f"the task cannot be sent as JSON: {reason(exc)}") from exc


def _read(answer: httpx.Response, kind: type[T]) -> T:
    if not answer.is_success:
        raise _problem(answer)
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise _not_a_gateway(answer) from exc


def _problem(answer: httpx.Response) -> ProblemError:
    status = answer.status_code
    try:
        problem = msgspec.json.decode(answer.content, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ProblemError(
            f"{status} {answer.reason_phrase} from {answer.url}, which is no answer of a labelbus gateway: is there a "
            "proxy in between, or another server at this address?",
            status=status,
            code=NOT_A_GATEWAY,
        )
    return ProblemError(
        problem.detail, status=status, code=problem.code, task_id=problem.task_id, worker=problem.worker
    )


def _not_a_gateway(answer: httpx.Response) -> ProblemError:
    return ProblemError(
        f"the server at {answer.url} is no labelbus gateway, or a proxy changed its answer: is the address right?",
        status=answer.status_code,
        code=NOT_A_GATEWAY,
    )
