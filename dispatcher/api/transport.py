"""A response's head and body in one segment."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

JOIN_BYTES: Final = 64 * 1024
"""A body below this is copied behind the head, a longer one is sent beside it."""

CONTINUE: Final = b"HTTP/1.1 100"


class OneSegment(asyncio.Transport):
    """A transport that holds the head of a response back until its body, or its end, comes.

    Uvicorn writes them one after the other, and uvloop makes a system call and a segment of each write; the client is
    woken twice (docs/performance.md). A body that comes in parts takes the head with its first one.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._head: bytes | None = None
        self._at_head = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, or hold back what is the head."""
        if self._at_head and bytes(data[: len(CONTINUE)]) != CONTINUE:
            self._head = bytes(data)
            self._at_head = False
        elif self._head is None:
            self._transport.write(data)
        else:
            head, self._head = self._head, None
            if len(data) < JOIN_BYTES:
                self._transport.write(head + data)
            else:
                self._transport.writelines((head, data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send all of it."""
        self.write(b"".join(list_of_data))

    def response_ended(self) -> None:
        """What is written from now on belongs to the next response."""
        self._flush()
        self._at_head = True

    def close(self) -> None:
        """Send what was held back, and close."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Close without sending anything."""
        self._transport.abort()

    def is_closing(self) -> bool:
        """True once it closes."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Of the transport beneath."""
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Let the client wait."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Let it go on."""
        self._transport.resume_reading()

    def _flush(self) -> None:
        head, self._head = self._head, None
        if head is not None:
            self._transport.write(head)
