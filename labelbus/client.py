"""Clients of the gateway, blocking and asynchronous, with the same calls."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

import httpx
import msgspec

DEFAULT_URL: Final = "http://127.0.0.1:8080"
TIMEOUT_S: Final = 120.0
UPLOAD_TIMEOUT_S: Final = 1800.0


class ProblemError(Exception):
    """The gateway refused: `status`, the stable `code`, and `detail`, which says what to do next."""

    def __init__(self, *, status: int, code: str, detail: str, task_id: str = "", worker: str = "") -> None:
        super().__init__(f"{detail} ({code})")
        self.status = status
        self.code = code
        self.detail = detail
        self.task_id = task_id
        self.worker = worker


class TaskResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a task gave, where it ran and what that cost (milliseconds)."""

    output: Any
    task_id: str
    worker: str
    route: str
    queue_ms: float
    load_ms: float
    run_ms: float
    evicted: str = ""


class Uploaded(msgspec.Struct, frozen=True, kw_only=True):
    """A model that was converted; `message` says where it came from."""

    model_name: str
    message: str


class Client:
    """A blocking client; use it as a context manager. Every call raises `ProblemError` or `httpx.HTTPError`."""

    def __init__(self, url: str = DEFAULT_URL, *, timeout_s: float = TIMEOUT_S) -> None:
        self._http = httpx.Client(base_url=url, timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def run_task(
        self, task_type: str, label: str, parameters: Mapping[str, Any], *, task_id: str | None = None
    ) -> TaskResult:
        """Run one task and wait for its result."""
        return _task_result(self._http.post("/run-task", json=_task(task_type, label, parameters, task_id)))

    def embed_texts(self, label: str, texts: Sequence[str]) -> list[list[float]]:
        """Embeddings of the texts, in their order."""
        embeddings: list[list[float]] = self.run_task("embed_texts", label, {"texts": list(texts)}).output["embeddings"]
        return embeddings

    def upload_model(self, model_id: str, *, max_batch_size: int = 32, overwrite: bool = False) -> Uploaded:
        """Convert a model and put it into the repository."""
        body = {"model_id": model_id, "max_batch_size": max_batch_size, "overwrite": overwrite}
        return _uploaded(self._http.post("/upload-model", json=body, timeout=UPLOAD_TIMEOUT_S))

    def workers(self) -> list[str]:
        """The ids of the workers that are there."""
        found: list[str] = _checked(self._http.get("/workers")).json()["workers"]
        return found

    def labels(self) -> dict[str, list[str]]:
        """Which workers hold which label."""
        found: dict[str, list[str]] = _checked(self._http.get("/labels")).json()
        return found


class AsyncClient:
    """An asynchronous client; use it as an async context manager. Calls and errors are those of `Client`."""

    def __init__(self, url: str = DEFAULT_URL, *, timeout_s: float = TIMEOUT_S, connections: int = 100) -> None:
        limits = httpx.Limits(max_connections=connections)
        self._http = httpx.AsyncClient(base_url=url, timeout=timeout_s, limits=limits)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def run_task(
        self, task_type: str, label: str, parameters: Mapping[str, Any], *, task_id: str | None = None
    ) -> TaskResult:
        """Run one task and wait for its result."""
        return _task_result(await self._http.post("/run-task", json=_task(task_type, label, parameters, task_id)))

    async def embed_texts(self, label: str, texts: Sequence[str]) -> list[list[float]]:
        """Embeddings of the texts, in their order."""
        result = await self.run_task("embed_texts", label, {"texts": list(texts)})
        embeddings: list[list[float]] = result.output["embeddings"]
        return embeddings

    async def upload_model(self, model_id: str, *, max_batch_size: int = 32, overwrite: bool = False) -> Uploaded:
        """Convert a model and put it into the repository."""
        body = {"model_id": model_id, "max_batch_size": max_batch_size, "overwrite": overwrite}
        return _uploaded(await self._http.post("/upload-model", json=body, timeout=UPLOAD_TIMEOUT_S))

    async def workers(self) -> list[str]:
        """The ids of the workers that are there."""
        found: list[str] = _checked(await self._http.get("/workers")).json()["workers"]
        return found

    async def labels(self) -> dict[str, list[str]]:
        """Which workers hold which label."""
        found: dict[str, list[str]] = _checked(await self._http.get("/labels")).json()
        return found


def _task(task_type: str, label: str, parameters: Mapping[str, Any], task_id: str | None) -> dict[str, Any]:
    body: dict[str, Any] = {"task_type": task_type, "label": label, "parameters_json": dict(parameters)}
    return body if task_id is None else {**body, "task_id": task_id}


def _task_result(answer: httpx.Response) -> TaskResult:
    headers = _checked(answer).headers
    if "Labelbus-Worker" not in headers:
        raise ProblemError(
            status=answer.status_code, code="unknown", detail=f"what answers at {answer.url} is no labelbus gateway"
        )
    return TaskResult(
        output=answer.json(),
        task_id=headers["Labelbus-Task-Id"],
        worker=headers["Labelbus-Worker"],
        route=headers["Labelbus-Route"],
        queue_ms=float(headers["Labelbus-Queue-Ms"]),
        load_ms=float(headers["Labelbus-Load-Ms"]),
        run_ms=float(headers["Labelbus-Run-Ms"]),
        evicted=headers.get("Labelbus-Evicted", ""),
    )


def _uploaded(answer: httpx.Response) -> Uploaded:
    body = _checked(answer).json()
    return Uploaded(model_name=body["model_name"], message=body["message"])


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    raise ProblemError(
        status=answer.status_code,
        code=str(problem.get("code", "unknown")),
        detail=str(problem.get("detail", answer.reason_phrase)),
        task_id=str(problem.get("task_id", "")),
        worker=str(problem.get("worker", "")),
    )
