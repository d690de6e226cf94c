"""Tasks at a steady rate over several gateways, each followed to its end: what the chaos run and its tests send."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec

MARGIN_S: Final = 10.0
"""An answer that does not come so long after the deadline counts as lost."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body."""
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str:
        """The stable code of an error; empty for a result."""
        return "" if self.status == 200 else str(self.json().get("code", ""))


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one task. Times are seconds: `began` since the load began; `tries` counts gateways asked.

    `status` 0: no gateway answered.
    """

    began: float
    took_s: float
    status: int
    code: str
    right: bool
    tries: int
    attempt: int
    worker: str

    @property
    def answered(self) -> bool:
        """True for a result."""
        return self.status == 200


class Gateway:
    """Keep-alive connections to one gateway; as many as there are requests at once."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def call(self, method: str, path: str, body: object = None, *, timeout_s: float = 60.0) -> Answer:
        """The answer; raises `OSError`, `EOFError` or `TimeoutError` if there is none."""
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
        """One task; `parameters` and what else a task has can be given."""
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
            if not reader.at_eof():  # the gateway closes what is idle for some seconds
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self.port)

    def moved(self, port: int) -> None:
        """It listens there now."""
        if port != self.port:
            self.close()
            self.port = port

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop()[1].close()


class Load:
    """Sends `rate` tasks a second over the labels in turn, to each gateway in turn, until `stop`.

    A gateway that cannot be reached or breaks off is what a load balancer deals with: the next one is asked.
    """

    def __init__(
        self,
        gateways: Sequence[Gateway],
        labels: Sequence[str],
        *,
        rate: float,
        sleep_ms: float = 20.0,
        deadline_s: float = 30.0,
    ) -> None:
        self.outcomes: list[Outcome] = []
        self.sent = 0
        self._gateways = itertools.cycle(gateways)
        self._count = len(gateways)
        self._labels = itertools.cycle(labels)
        self._rate = rate
        self._sleep_ms = sleep_ms
        self._deadline_s = deadline_s
        self._stopping = asyncio.Event()
        self._began = time.monotonic()

    @property
    def now_s(self) -> float:
        """Seconds since the load began."""
        return time.monotonic() - self._began

    def stop(self) -> None:
        """Send no more; `run` ends when all are answered."""
        self._stopping.set()

    async def run(self) -> list[Outcome]:
        """All outcomes, once `stop` was called and each task has come to its end."""
        async with asyncio.TaskGroup() as tasks:
            due = time.monotonic()
            while not self._stopping.is_set():
                self.sent += 1
                tasks.create_task(self._one(next(self._labels)))
                due = max(due + 1 / self._rate, time.monotonic() - 1.0)
                try:
                    async with asyncio.timeout(max(0.0, due - time.monotonic())):
                        await self._stopping.wait()
                except TimeoutError:
                    continue
        return self.outcomes

    async def _one(self, label: str) -> None:
        began = self.now_s
        end = time.monotonic() + self._deadline_s
        tries = 0
        answer: Answer | None = None
        while answer is None and time.monotonic() < end:
            tries += 1
            gateway = next(self._gateways)
            try:
                answer = await gateway.run_task(
                    label, deadline_s=end - time.monotonic(), parameters={"sleep_ms": self._sleep_ms}
                )
            except (OSError, EOFError):
                await asyncio.sleep(0.02 if tries % self._count else 0.1)
            except TimeoutError:
                break
        headers = {} if answer is None else answer.headers
        self.outcomes.append(
            Outcome(
                began=began,
                took_s=self.now_s - began,
                status=0 if answer is None else answer.status,
                code="no_answer" if answer is None else answer.code,
                right=answer is None or answer.status != 200 or answer.json()["label"] == label,
                tries=tries,
                attempt=int(headers.get("labelbus-attempt") or 0),
                worker=headers.get("labelbus-worker", ""),
            )
        )


async def _read(reader: asyncio.StreamReader) -> Answer:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Answer(status=int(first.split(" ", 2)[1]), headers=headers, body=body)
