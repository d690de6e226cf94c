"""Clients of the gateway, blocking and asynchronous, with the same calls.

Each call raises `LabelbusError`s only: `ProblemError` if the gateway refuses or something else answers,
`UnavailableError` if none can be reached, its subclass `RequestTimeoutError` if no answer came in time, and
`BadParametersError` for parameters that cannot be JSON. `InvalidInputError` refuses the address when a client is made.
"""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

import httpx

from bus.errors import ProblemError
from labelbus.http_errors import checked_url, httpx_translated
from labelbus.http_messages import (
    TaskResult,
    Uploaded,
    embeddings_of,
    read_labels,
    read_task_result,
    read_uploaded,
    read_workers,
    task_body,
    upload_body,
)

__all__ = ["AsyncClient", "Client", "ProblemError", "TaskResult", "Uploaded"]

DEFAULT_URL: Final = "http://127.0.0.1:8080"
TIMEOUT_S: Final = 120.0
UPLOAD_TIMEOUT_S: Final = 1800.0
_JSON: Final = {"Content-Type": "application/json"}


class Client:
    """A blocking client; use it as a context manager. The errors of its calls are those of `labelbus.client`."""

    def __init__(self, url: str = DEFAULT_URL, *, timeout_s: float = TIMEOUT_S) -> None:
        self._url = checked_url(url)
        self._http = httpx.Client(base_url=url, timeout=timeout_s, headers=_JSON)

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
        """Run one task and return its result."""
        body = task_body(task_type, label, parameters, task_id)
        with httpx_translated(self._url):
            answer = self._http.post("/run-task", content=body)
        return read_task_result(answer)

    def embed_texts(self, label: str, texts: Sequence[str]) -> list[list[float]]:
        """Return the embeddings of the texts, in their order."""
        return embeddings_of(self.run_task("embed_texts", label, {"texts": list(texts)}))

    def upload_model(self, model_id: str, *, max_batch_size: int = 32, overwrite: bool = False) -> Uploaded:
        """Convert a model and put it into the repository."""
        body = upload_body(model_id, max_batch_size, overwrite=overwrite)
        with httpx_translated(self._url):
            answer = self._http.post("/upload-model", content=body, timeout=UPLOAD_TIMEOUT_S)
        return read_uploaded(answer)

    def workers(self) -> list[str]:
        """Return the ids of the workers that are there."""
        with httpx_translated(self._url):
            answer = self._http.get("/workers")
        return read_workers(answer)

    def labels(self) -> dict[str, list[str]]:
        """Return the workers that hold each label."""
        with httpx_translated(self._url):
            answer = self._http.get("/labels")
        return read_labels(answer)


class AsyncClient:
    """An asynchronous client; use it as an async context manager. Calls and errors are those of `Client`."""

    def __init__(self, url: str = DEFAULT_URL, *, timeout_s: float = TIMEOUT_S, connections: int = 100) -> None:
        self._url = checked_url(url)
        limits = httpx.Limits(max_connections=connections)
        self._http = httpx.AsyncClient(base_url=url, timeout=timeout_s, limits=limits, headers=_JSON)

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
        """Run one task and return its result."""
        body = task_body(task_type, label, parameters, task_id)
        with httpx_translated(self._url):
            answer = await self._http.post("/run-task", content=body)
        return read_task_result(answer)

    async def embed_texts(self, label: str, texts: Sequence[str]) -> list[list[float]]:
        """Return the embeddings of the texts, in their order."""
        return embeddings_of(await self.run_task("embed_texts", label, {"texts": list(texts)}))

    async def upload_model(self, model_id: str, *, max_batch_size: int = 32, overwrite: bool = False) -> Uploaded:
        """Convert a model and put it into the repository."""
        body = upload_body(model_id, max_batch_size, overwrite=overwrite)
        with httpx_translated(self._url):
            answer = await self._http.post("/upload-model", content=body, timeout=UPLOAD_TIMEOUT_S)
        return read_uploaded(answer)

    async def workers(self) -> list[str]:
        """Return the ids of the workers that are there."""
        with httpx_translated(self._url):
            answer = await self._http.get("/workers")
        return read_workers(answer)

    async def labels(self) -> dict[str, list[str]]:
        """Return the workers that hold each label."""
        with httpx_translated(self._url):
            answer = await self._http.get("/labels")
        return read_labels(answer)
