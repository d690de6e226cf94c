"""A client of the Ray Serve application, with the call of labelbus' client that producers use."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

import httpx
import msgspec

from bus.errors import ProblemError
from labelbus.http_errors import httpx_translated
from labelbus.http_messages import TaskResult

MODEL_HEADER: Final = "serve_multiplexed_model_id"
"""The header by which Ray Serve routes a request to a replica that holds the model."""

UNEXPECTED: Final = "unknown"
"""`code` of the error for an answer that the application does not give."""


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """The application's answer; `load_ms` is the time until the replica held the label, `run_ms` the rest."""

    label: str
    replica: str
    load_ms: float
    run_ms: float


class RayClient:
    """An asynchronous client; use it as an async context manager."""

    def __init__(self, url: str, *, timeout_s: float, connections: int) -> None:
        self._url = url
        limits = httpx.Limits(max_connections=connections)
        self._http = httpx.AsyncClient(base_url=url, timeout=timeout_s, limits=limits)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def run_task(self, task_type: str, label: str, parameters: Mapping[str, Any]) -> TaskResult:
        """Run one task; raise `ProblemError` for any answer but a result, `UnavailableError` if none comes."""
        body = msgspec.json.encode(dict(parameters))
        headers = {MODEL_HEADER: label, "Content-Type": "application/json"}
        with httpx_translated(self._url):
            answer = await self._http.post("/", content=body, headers=headers)
        return task_result(answer)


def task_result(answer: httpx.Response) -> TaskResult:
    """Return the application's answer as a result of labelbus; a route and a queue it has none."""
    if not answer.is_success:
        text = answer.text[:200].strip()
        raise ProblemError(
            f"{answer.status_code}: {text}", status=answer.status_code, code=f"http_{answer.status_code}"
        )
    try:
        ran = msgspec.json.decode(answer.content, type=Ran)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ProblemError(
            f"not an answer of the application: {exc}", status=answer.status_code, code=UNEXPECTED
        ) from exc
    return TaskResult(
        output=None,
        task_id="",
        worker=ran.replica,
        route="",
        queue_ms=0.0,
        load_ms=ran.load_ms,
        run_ms=ran.run_ms,
    )
