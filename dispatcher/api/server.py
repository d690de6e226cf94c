"""The HTTP server of the gateway: uvicorn with our protocol, and without its signal handlers."""

import asyncio
from contextlib import nullcontext

import uvicorn
from litestar import Litestar
from loguru import logger

from dispatcher.api.protocol import HttpProtocol
from dispatcher.settings import DispatcherSettings


def make_server(app: Litestar, settings: DispatcherSettings, ready: asyncio.Event) -> "GatewayServer":
    """Return a server of `app` that sets `ready` once it listens; its `serve()` runs until `should_exit` is set."""
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
    )


class GatewayServer(uvicorn.Server):
    """A uvicorn server that leaves signals to the component and logs the address it listens on."""

    def __init__(self, ready: asyncio.Event, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ready = ready

    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]  # any context manager will do
        """Leave signals alone."""
        return nullcontext()

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Listen, and log the address."""
        await super().startup(sockets)  # type: ignore[arg-type]
        for server in getattr(self, "servers", ()):
            for socket in server.sockets:
                host, port = socket.getsockname()[:2]
                logger.bind(url=f"http://{host}:{port}").info("gateway listening")
                self._ready.set()
