"""A cheap HTTP/1.1 load generator: fixed requests on keep-alive connections, the next one after each answer.

`python -m bench.http_load` reads one `Leg` a line from stdin, as JSON, and writes one `LegResult` for each. It runs in
a process of its own, so that its CPU time (some 15 µs a request) does not count as that of a measured process.
"""

import asyncio
import itertools
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Final, cast

import msgspec
import uvloop

END_OF_HEAD: Final = b"\r\n\r\n"
CONTENT_LENGTH: Final = b"content-length:"
STOP_S: Final = 10.0
"""Default time after the end of a leg within which the requests in flight must be answered."""


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """A load on `connections` connections for `seconds`, of POST requests to one `path` with the `bodies` in turn.

    After the end the requests in flight have `stop_s` to be answered.
    """

    port: int
    path: str
    bodies: tuple[str, ...]
    connections: int
    seconds: float
    stop_s: float = STOP_S


class LegResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a leg. Latencies are milliseconds, sorted; `cpu_s` is the generator's own CPU time.

    `statuses` counts answers by HTTP status, and connections without an answer under "none".
    """

    seconds: float
    cpu_s: float
    statuses: dict[str, int]
    latencies_ms: list[float]


class Connection(asyncio.Protocol):
    """One connection, which sends the next request after each answer until the end of the leg."""

    def __init__(self, requests: Iterator[bytes], end: float, latencies: list[float], statuses: Counter[str]) -> None:
        self._requests = requests
        self._end = end
        self._latencies = latencies
        self._statuses = statuses
        self._sent = 0.0
        self._buffer = b""
        self._transport: asyncio.WriteTransport
        self.done: Final[asyncio.Future[None]] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast(
            asyncio.WriteTransport, transport
        )  # uvloop's transports do not inherit from WriteTransport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Count a complete answer and send the next request; keep a part of an answer."""
        buffer = self._buffer + data if self._buffer else data
        size = answer_size(buffer)
        if size is None or len(buffer) < size:
            self._buffer = buffer
            return
        self._buffer = b""
        now = time.perf_counter()
        self._latencies.append(now - self._sent)
        self._statuses[buffer[9:12].decode()] += 1
        if now < self._end:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end of the connection, by the end of the leg or by the server."""
        if not self.done.done():
            self.done.set_result(None)

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(next(self._requests))


def answer_size(buffer: bytes) -> int | None:
    """Return the size of the answer that the buffer begins with; None if its head is incomplete."""
    end = buffer.find(END_OF_HEAD)
    if end < 0:
        return None
    head = buffer[:end].lower()
    at = head.find(CONTENT_LENGTH)
    length = int(head[at + len(CONTENT_LENGTH) :].partition(b"\r\n")[0]) if at >= 0 else 0
    return end + len(END_OF_HEAD) + length


def request_bytes(path: str, body: bytes) -> bytes:
    """Return a POST request with a JSON body."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def run_leg(leg: Leg) -> LegResult:
    """Run a leg; a connection without an answer at the end counts under "none"."""
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    statuses: Counter[str] = Counter()
    requests = itertools.cycle([request_bytes(leg.path, body.encode()) for body in leg.bodies])
    cpu, began = time.process_time(), time.perf_counter()
    made = [
        await loop.create_connection(
            lambda: Connection(requests, began + leg.seconds, latencies, statuses), "127.0.0.1", leg.port
        )
        for _ in range(leg.connections)
    ]
    _, late = await asyncio.wait([protocol.done for _, protocol in made], timeout=leg.seconds + leg.stop_s)
    statuses["none"] += len(late)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    for transport, _ in made:
        transport.abort()
    return LegResult(
        seconds=seconds, cpu_s=cpu, statuses=dict(statuses), latencies_ms=sorted(round(s * 1e3, 4) for s in latencies)
    )


def main() -> None:
    """Run legs from stdin until it ends."""
    for line in sys.stdin.buffer:
        result = uvloop.run(run_leg(msgspec.json.decode(line, type=Leg)))
        sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
