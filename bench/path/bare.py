"""The bare gateway: one Litestar route that makes one NATS request to a responder, which answers at once.

    python -m bench.path.bare gateway --http-port 8081      POST /run-task → subject `bench.bare` → the answer
    python -m bench.path.bare responder

It runs on the same uvicorn as the dispatcher, with the same settings: the least that the path could cost.
"""

import asyncio
import sys
from contextlib import suppress
from typing import Annotated, Any, Final

import click
import uvicorn
from litestar import Litestar, Request, Response, post
from msgspec import Meta

from bus.command import settings_command
from bus.component import Component, run_component
from bus.connection import Msg
from bus.settings import BusSettings
from dispatcher.api.server import GatewayServer

SUBJECT: Final = "bench.bare"
ANSWER: Final = b'{"label":"bench/held","elapsed_ms":0.0015}'
TIMEOUT_S: Final = 10.0


class BareSettings(BusSettings, frozen=True, kw_only=True):
    """Settings of the bare gateway."""

    http_port: Annotated[int, Meta(description="Port of the gateway.", ge=0, le=65535)] = 8081


async def gateway(component: Component, settings: BareSettings) -> None:
    """Serve POST /run-task until the component is told to stop."""

    @post("/run-task", status_code=200)
    async def run_task(request: Request[Any, Any, Any]) -> Response[bytes]:
        reply = await component.bus.request(SUBJECT, await request.body(), timeout_s=TIMEOUT_S)
        return Response(reply.data, media_type="application/json")

    config = uvicorn.Config(
        Litestar([run_task], openapi_config=None, logging_config=None),
        host="127.0.0.1",
        port=settings.http_port,
        http="httptools",
        loop="none",
        lifespan="off",
        proxy_headers=False,
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
    )
    server = GatewayServer(component.ready, config)
    serving = asyncio.create_task(server.serve())
    await component.stopping.wait()
    server.should_exit = True
    with suppress(SystemExit):
        await serving


async def responder(component: Component) -> None:
    """Answer every request until the component is told to stop."""

    async def answer(msg: Msg) -> None:
        await component.bus.publish(msg.reply, ANSWER)

    await component.bus.subscribe(SUBJECT, answer)
    await component.bus.settle()
    component.ready.set()
    await component.stopping.wait()


def _run_gateway(settings: BareSettings) -> int:
    async def main(component: Component) -> None:
        await gateway(component, settings)

    return run_component(settings, component="bare", component_id="gateway", main=main)


def _run_responder(settings: BusSettings) -> int:
    return run_component(settings, component="bare", component_id="responder", main=responder)


command = click.Group(
    "bare",
    commands=[
        settings_command(
            BareSettings, _run_gateway, name="gateway", help_text="Serve POST /run-task with one NATS request."
        ),
        settings_command(
            BusSettings, _run_responder, name="responder", help_text="Answer every request on the bus at once."
        ),
    ],
)

if __name__ == "__main__":
    sys.exit(command())
