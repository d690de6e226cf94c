"""HTTP/1.1 as uvicorn has it, with limits on what a client may send and how slowly it may do so.

Beyond uvicorn's: headers have a limit, all phases of a connection have deadlines (`dispatcher.api.deadlines`), the
connection is closed lingeringly (`dispatcher.api.transport`), and what is refused here gets problem details as well.
"""

import asyncio
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from dispatcher.api.deadlines import Phase, Stopwatch, Timeouts
from dispatcher.api.problems import ProtocolError, protocol_problem
from dispatcher.api.transport import ResponseTransport

MAX_HEAD_BYTES: Final = 64 * 1024
"""Request line and headers together. The parser itself has no limit: a client could fill the memory with one."""

LINGER_BYTES: Final = 256 * 1024 * 1024
"""Most bytes that are read and dropped after the last response."""


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    _head_bytes = 0
    _chunk_bytes = 0
    _in_head = False
    _received_bytes = 0
    _linger_from = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's type
        """Begin the connection."""
        self._out = ResponseTransport(transport)
        self._stopwatch = Stopwatch()
        super().connection_made(self._out)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the connection."""
        super().connection_lost(exc)
        self._out.answering = None  # the two refer to each other

    def data_received(self, data: bytes) -> None:
        """Parse, and count what belongs to headers that have not ended yet; drop what follows the last response."""
        self._received_bytes += len(data)
        if self._out.lingering:
            self._linger_from = self._linger_from or self._received_bytes
            if self._received_bytes - self._linger_from > LINGER_BYTES:
                self._out.abort()
            return
        self._chunk_bytes = len(data)
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("")

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._head_bytes = 0
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Begin the body; headers that came with much else in one piece are measured here."""
        self._in_head = False
        if self._head_bytes + self._chunk_bytes > MAX_HEAD_BYTES:
            self._head_bytes = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if self._head_bytes > MAX_HEAD_BYTES:
                raise httptools.HttpParserError("headers over the limit")
        super().on_headers_complete()
        if not self.pipeline:
            self._out.answering = self.cycle

    def on_response_complete(self) -> None:
        """Begin the next pipelined request, if there is one; uvicorn's timer for idle connections is not needed."""
        self._out.response_ended()
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._out.answering = cycle
            self._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser refused, or headers over the limit."""
        if self._head_bytes > MAX_HEAD_BYTES:
            detail = f"the headers have more than {MAX_HEAD_BYTES:,} bytes; parameters belong into the body"
            self._refuse(ProtocolError.HEAD_TOO_LARGE, detail)
        else:
            self._refuse(ProtocolError.NOT_HTTP, msg)

    def enforce(self, now: float, timeouts: Timeouts) -> Phase | None:
        """Observe the connection; end it if its client is overdue, and return the phase it was in."""
        phase = self._phase()
        moved = self._out.sent_bytes if phase is Phase.WRITING else self._received_bytes
        request = None if phase is Phase.WRITING else self.scope  # a client may ask on without reading
        self._stopwatch.observe(now, phase, request, moved, timeouts)
        if not self._stopwatch.is_overdue(timeouts):
            return None
        match phase:
            case Phase.HEAD:
                detail = f"the request line and headers did not arrive within {timeouts.head_s:g} s"
                self._refuse(ProtocolError.TOO_SLOW, detail)
            case Phase.BODY:
                detail = (
                    f"the body did not arrive within {timeouts.body_s:g} s and one second more for every "
                    f"{timeouts.min_bytes_per_s:,} bytes"
                )
                self._refuse(ProtocolError.TOO_SLOW, detail)
            case Phase.WRITING:
                self._out.abort()
            case _:
                self._out.close()
        return phase

    def shutdown(self) -> None:
        """Close once the request in flight is answered; what lingers is closed at once."""
        if self._out.lingering:
            self._out.close()
        else:
            super().shutdown()

    def _phase(self) -> Phase:
        if self._out.unsent_bytes:
            return Phase.WRITING
        if self._out.lingering:
            return Phase.LINGERING
        if self.cycle is None or self.cycle.response_complete:
            return Phase.HEAD if self._in_head else Phase.IDLE
        if self.cycle.more_body and not self.pipeline and not self.flow.read_paused:
            return Phase.BODY
        return Phase.SERVING

    def _refuse(self, error: ProtocolError, detail: str) -> None:
        """Answer the request that is being received, end what was begun for it, and close."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self._out.refuse(protocol_problem(error, detail))
            return
        scope: dict[str, Any] = {} if self._in_head else dict(cycle.scope)
        self._out.refuse(protocol_problem(error, detail, method=scope.get("method", ""), path=scope.get("path", "")))
        cycle.disconnected = True
        cycle.message_event.set()
