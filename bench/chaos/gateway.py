"""Keep-alive HTTP connections to one gateway."""

import asyncio
import time
from typing import Any, Final

import msgspec

MARGIN_S: Final = 10.0
"""An answer that does not come within this time after the deadline counts as lost."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer of a gateway."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body, decoded from JSON."""
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str:
        """The stable code of an error; empty for a result."""
        return "" if self.status == 200 else str(self.json().get("code", ""))


class Gateway:
    """Keep-alive connections to one gateway, as many as there are requests at once."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def call(self, method: str, path: str, body: object = None, *, timeout_s: float = 60.0) -> Answer:
        """Send a request and return its answer; raise `OSError`, `EOFError` or `TimeoutError` if there is none."""
        payload = b"" if body is None else msgspec.json.encode(body)
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(payload)}\r\n\r\n"
        )
        async with asyncio.timeout(timeout_s):
            reader, writer = await self._connection()
            try:
                writer.write(head.encode() + payload)
                answer = await _read(reader)
            except BaseException:
                writer.close()
                raise
        if answer.headers.get("connection") == "close":
            writer.close()
        else:
            self._idle.append((reader, writer))
        return answer

    async def run_task(
        self, label: str, *, deadline_s: float = 60.0, task_type: str = "sample_task", **more: Any
    ) -> Answer:
        """Run one task; `parameters` and other fields of the body can be given by name."""
        body = {
            "task_type": task_type,
            "label": label,
            "parameters_json": more.pop("parameters", {}),
            "deadline_ms": int((time.time() + deadline_s) * 1000),
            **more,
        }
        return await self.call("POST", "/run-task", body, timeout_s=deadline_s + MARGIN_S)

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():  # the gateway closes connections that are idle for some seconds
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self.port)

    def move(self, port: int) -> None:
        """Connect to this port from now on."""
        if port != self.port:
            self.close()
            self.port = port

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop()[1].close()


async def _read(reader: asyncio.StreamReader) -> Answer:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Answer(status=int(first.split(" ", 2)[1]), headers=headers, body=body)
