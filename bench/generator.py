"""A load generator in a child process of its own, which is sent legs and returns results."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol

import msgspec

from bench.http_load import STOP_S, LegResult
from bus.errors import UnavailableError

MAX_LINE_BYTES: Final = 256 * 1024 * 1024
"""The longest result that is read: it holds every latency, here of some ten million requests."""


class AnyLeg(Protocol):
    """A leg of any generator, as it goes to the child in JSON."""

    @property
    def seconds(self) -> float:
        """Time for which requests are sent."""

    @property
    def stop_s(self) -> float:
        """Time after that within which the requests in flight are answered."""


class Generator:
    """A running load generator, made by `load_generator`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """The id of the child process."""
        return self._process.pid

    async def run(self, leg: AnyLeg) -> LegResult:
        """Run one leg; raise `UnavailableError` if the generator ends, or not every request is answered with 200."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(leg) + b"\n")
        try:
            async with asyncio.timeout(leg.seconds + leg.stop_s + 2 * STOP_S):
                line = await self._process.stdout.readline()
        except TimeoutError as exc:
            raise UnavailableError(
                "the load generator did not finish its leg in time: does the gateway accept connections?"
            ) from exc
        if not line:
            raise UnavailableError("the load generator ended during a leg: does the gateway listen?")
        result = msgspec.json.decode(line, type=LegResult)
        if set(result.statuses) - {"none"} != {"200"} or result.statuses.get("none"):
            raise UnavailableError(f"not every request was answered with 200: {result.statuses}")
        return result


@asynccontextmanager
async def load_generator(module: str = "bench.http_load", *arguments: str) -> AsyncIterator[Generator]:
    """Run the generator of this module for the time of the block."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=MAX_LINE_BYTES,
    )
    try:
        yield Generator(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
