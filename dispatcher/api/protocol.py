"""HTTP/1.1 as uvicorn has it, with a limit on headers, and with problem details for what is no HTTP."""

import asyncio
from http import HTTPStatus
from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from dispatcher.api.problems import MEDIA_TYPE, problem_body
from dispatcher.api.transport import OneSegment

MAX_HEAD_BYTES: Final = 64 * 1024
"""Request line and headers together. The parser itself has no limit: a client could fill the memory with one."""


class HttpProtocol(HttpToolsProtocol):
    """One connection; answers 431 to headers over the limit, and closes."""

    _head_bytes = 0
    _chunk_bytes = 0
    _in_head = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's type
        """A client came."""
        self._out = OneSegment(transport)
        super().connection_made(self._out)

    def on_response_complete(self) -> None:
        """The response has been written."""
        self._out.response_ended()
        super().on_response_complete()

    def data_received(self, data: bytes) -> None:
        """Parse, and count what belongs to headers that have not ended yet."""
        self._chunk_bytes = len(data)
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("")

    def on_message_begin(self) -> None:
        """A request begins."""
        self._head_bytes = 0
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The body begins; headers that came with much else in one piece are measured here."""
        self._in_head = False
        if self._head_bytes + self._chunk_bytes > MAX_HEAD_BYTES:
            self._head_bytes = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if self._head_bytes > MAX_HEAD_BYTES:
                raise httptools.HttpParserError("headers over the limit")
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser refused, or 431 for headers over the limit."""
        if self._head_bytes > MAX_HEAD_BYTES:
            status, code = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too_large"
            detail = f"the headers have more than {MAX_HEAD_BYTES:,} bytes; parameters belong into the body"
        else:
            status, code, detail = HTTPStatus.BAD_REQUEST, "malformed", msg
        body = problem_body(status, code, detail)
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()
