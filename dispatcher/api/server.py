"""The HTTP server of the gateway: uvicorn with our protocol, and without its signal handlers."""

import asyncio
import resource
from contextlib import nullcontext, suppress
from typing import Final, cast

import uvicorn
from litestar import Litestar
from loguru import logger

from dispatcher.api.deadlines import Sweep, Timeouts
from dispatcher.api.protocol import HttpProtocol
from dispatcher.settings import DispatcherSettings

MAX_OPEN_FILES: Final = 65_536
"""Enough for any number of connections that one process can serve."""


def make_server(app: Litestar, settings: DispatcherSettings, ready: asyncio.Event) -> "GatewayServer":
    """Return a server of `app` that sets `ready` once it listens; its `serve()` runs until `should_exit` is set."""
    timeouts = Timeouts(
        head_s=settings.http_head_timeout_s,
        body_s=settings.http_body_timeout_s,
        idle_s=settings.http_idle_timeout_s,
        min_bytes_per_s=settings.http_min_bytes_per_s,
    )
    return GatewayServer(
        ready,
        uvicorn.Config(
            app,
            host=settings.http_host,
            port=settings.http_port,
            http=HttpProtocol,
            loop="none",
            ws="none",
            lifespan="off",
            proxy_headers=False,  # no handler asks for the client's address
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=int(settings.drain_s),
        ),
        timeouts,
    )


class GatewayServer(uvicorn.Server):
    """A uvicorn server that leaves signals to the component and logs the address it listens on.

    With `timeouts` it ends connections whose clients are silent or slow; its protocol must be `HttpProtocol` then.
    """

    def __init__(self, ready: asyncio.Event, config: uvicorn.Config, timeouts: Timeouts | None = None) -> None:
        super().__init__(config)
        self._ready = ready
        connections = cast("set[HttpProtocol]", self.server_state.connections)
        self._sweep = None if timeouts is None else Sweep(timeouts, connections)

    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]  # any context manager will do
        """Leave signals alone."""
        return nullcontext()

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Listen, and log the address."""
        raise_limit_of_open_files()
        await super().startup(sockets)  # type: ignore[arg-type]
        if self._sweep is not None:
            self._sweep.start()
        for server in getattr(self, "servers", ()):
            for socket in server.sockets:
                host, port = socket.getsockname()[:2]
                logger.bind(url=f"http://{host}:{port}").info("gateway listening")
                self._ready.set()

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Answer what is in flight; deadlines hold until the end."""
        await super().shutdown(sockets)  # type: ignore[arg-type]
        if self._sweep is not None:
            self._sweep.stop()


def raise_limit_of_open_files() -> None:
    """Let the process open as many files as the system allows it to: each connection is one.

    Shells often set the limit to 1,024, which slow clients could use up in the time that they are given.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS has a limit of its own beneath the hard one
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
