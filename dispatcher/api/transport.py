"""The transport of one HTTP connection: a response in one segment, and a close that lets its client read it."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final, Protocol

JOIN_BYTES: Final = 64 * 1024
"""A body below this is copied behind the head, a longer one is sent beside it."""

CONTINUE: Final = b"HTTP/1.1 100"
CLOSE_LINE: Final = b"connection: close\r\n"


class Exchange(Protocol):
    """A request and its response, as uvicorn's `RequestResponseCycle` has them."""

    more_body: bool
    keep_alive: bool


class ResponseTransport(asyncio.Transport):
    """A transport that holds the head of a response back until its body or its end comes, and closes lingeringly.

    Uvicorn writes head and body one after the other, and uvloop makes a system call and a segment of each write; the
    client is woken twice (docs/performance.md). A body that comes in parts takes the head with its first one.

    A response that is sent before its request has been read to the end says `connection: close`, and closing the
    connection then only ends the writing side (`lingering`). A client that sends all of its request before it reads
    would otherwise find its connection reset and the answer lost (RFC 9112, 9.6). The protocol drops what still comes,
    and closes for good once the client does, or after a while.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._head: bytes | None = None
        self._at_head = True
        self._written = 0
        self.lingering = False
        self.answering: Exchange | None = None
        """The exchange whose response is written next."""

    @property
    def unsent_bytes(self) -> int:
        """Bytes of responses that the client has not taken yet; what the kernel holds does not count."""
        return self._transport.get_write_buffer_size()

    @property
    def sent_bytes(self) -> int:
        """Bytes of responses that were handed to the kernel."""
        return self._written - self._transport.get_write_buffer_size()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, or hold back what is the head; drop what comes after the last response."""
        if self.lingering:
            return
        if self._at_head and bytes(data[: len(CONTINUE)]) != CONTINUE:
            self._head = self._closing(bytes(data)) if self._is_early() else bytes(data)
            self._at_head = False
        elif self._head is None:
            self._written += len(data)
            self._transport.write(data)
        else:
            head, self._head = self._head, None
            self._written += len(head) + len(data)
            if len(data) < JOIN_BYTES:
                self._transport.write(head + data)
            else:
                self._transport.writelines((head, data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send all of it."""
        self.write(b"".join(list_of_data))

    def response_ended(self) -> None:
        """Send what is held back; what is written from now on belongs to the next response."""
        self._flush()
        self._at_head = True

    def refuse(self, response: bytes) -> None:
        """Send a whole response as the last one, unless another one has begun, and linger."""
        if self._at_head and not self.is_closing():
            self._written += len(response)
            self._transport.write(response)
        self._linger()

    def close(self) -> None:
        """Send what was held back, and close: lingeringly if the request has not been read to its end."""
        if self._is_early() and not self.is_closing():
            self._linger()
        else:
            self._flush()
            self._transport.close()

    def abort(self) -> None:
        """Close without sending anything."""
        self._transport.abort()

    def is_closing(self) -> bool:
        """Return whether the connection closes or lingers."""
        return self.lingering or self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return extra information of the transport beneath."""
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Stop reading, so that the client has to wait."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self._transport.resume_reading()

    def _is_early(self) -> bool:
        return self.answering is not None and self.answering.more_body

    def _closing(self, head: bytes) -> bytes:
        assert self.answering is not None
        if not self.answering.keep_alive:  # the head says so already
            return head
        self.answering.keep_alive = False
        return head[:-2] + CLOSE_LINE + head[-2:]

    def _linger(self) -> None:
        self._flush()
        if not self.is_closing():
            self.lingering = True
            self._transport.resume_reading()
            if self._transport.can_write_eof():
                self._transport.write_eof()

    def _flush(self) -> None:
        head, self._head = self._head, None
        if head is not None and not self.lingering:
            self._written += len(head)
            self._transport.write(head)
