"""The gateway's HTTP server in a thread of its own, with routes that need no bus, for clients that block."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any, Self

import msgspec
import uvloop
from litestar import Litestar, Request, Response, get, post
from litestar.exceptions import HTTPException
from litestar.params import JSONBody

from bus.errors import LabelbusError
from dispatcher.api.fast_path import fast_path
from dispatcher.api.problems import RUN_TASK_PATH, on_http_exception, on_labelbus_error
from dispatcher.api.responses import RawResponse
from dispatcher.api.server import GatewayServer, make_server
from dispatcher.settings import DispatcherSettings

DEADLINE_S = 30.0
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Size(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The size of the wanted answer."""

    size: int
    pad: str = ""


@post(RUN_TASK_PATH, status_code=200, middleware=[fast_path(Size)])
async def answer(data: JSONBody[Size], request: Request[Any, Any, Any]) -> Response[bytes]:
    return RawResponse(b"x" * data.size, headers=[])


@get("/health")
async def health() -> str:
    return "well"


class ServerThread:
    """A running server; `port` is where it listens."""

    def __init__(self, *, loop: str = "uvloop", **settings: Any) -> None:
        self.settings = DispatcherSettings(http_port=0, drain_s=20, **settings)
        self._app = Litestar(
            [answer, health],
            exception_handlers={LabelbusError: on_labelbus_error, HTTPException: on_http_exception},
            request_max_body_size=self.settings.max_body_bytes,
            openapi_config=None,
            logging_config=None,
        )
        self._loop = LOOPS[loop]()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="server")
        self.server: GatewayServer
        self.port = 0

    def _run(self) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        ready = asyncio.Event()
        self.server = make_server(self._app, self.settings, ready)
        serving = asyncio.create_task(self.server.serve())
        await ready.wait()
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        self._started.set()
        await serving

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(DEADLINE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)

    @contextlib.contextmanager
    def connect(self) -> Iterator[socket.socket]:
        """A bare connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S) as connection:
            yield connection


def read_to_end(connection: socket.socket) -> bytes:
    """All that comes until the server ends its side."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)
