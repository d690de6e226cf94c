"""A relay between one component and NATS that can stop forwarding, as a network does that drops packets."""

import asyncio
from contextlib import suppress
from typing import Final

CHUNK: Final = 64 * 1024


class Relay:
    """A relay from a free loopback port to another port. While it is cut, connections stay open and carry nothing."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._open = asyncio.Event()
        self._open.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self) -> None:
        """Listen on a free port, which `port` names afterwards."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Stop forwarding in both directions."""
        self._open.clear()

    def heal(self) -> None:
        """Forward again, beginning with the bytes that were held back."""
        self._open.set()

    async def close(self) -> None:
        """Close every connection and return once all are closed."""
        if self._server is not None:
            self._server.close()
        self._open.set()
        for writer in list(self._writers):
            writer.close()
        if self._serving:
            await asyncio.wait(self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.current_task()
        assert serving is not None
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        self._writers.add(writer)
        try:
            await self._open.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self._to_port)
            self._writers.add(back)
            try:
                await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
            finally:
                self._writers.discard(back)
                back.close()
        except OSError:  # NATS cannot be reached: close the client's connection, below
            return
        finally:
            self._writers.discard(writer)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK):
                await self._open.wait()
                writer.write(chunk)
                await writer.drain()
        writer.close()  # ends the other direction as well
