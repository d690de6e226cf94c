"""`python -m dispatcher`: the gateway and the dispatcher behind it."""

import asyncio
import cProfile
import sys
from contextlib import nullcontext, suppress
from typing import Final

import click
import uvicorn

from bus.command import settings_command
from bus.component import Component, run_component
from bus.errors import UnavailableError
from dispatcher.api.app import make_app
from dispatcher.api.server import make_server
from dispatcher.conversions import Conversions
from dispatcher.metrics import Metrics
from dispatcher.service import DispatcherService
from dispatcher.settings import DispatcherSettings

REGISTRY_WAIT_S: Final = 2.0
"""How long the gateway holds its doors shut for the registry; after it tasks go to the queue group."""


def run(settings: DispatcherSettings) -> int:
    """Serve until SIGTERM; the exit status."""
    profile = cProfile.Profile() if settings.cpu_prof else None

    async def main(component: Component) -> None:
        with profile or nullcontext():
            await serve(component, settings)

    status = run_component(settings, component="dispatcher", component_id=settings.id, main=main)
    if profile is not None and settings.cpu_prof is not None:
        profile.dump_stats(settings.cpu_prof)
        click.echo(f"CPU profile written to {settings.cpu_prof}: python -m pstats {settings.cpu_prof}", err=True)
    return status


async def serve(component: Component, settings: DispatcherSettings) -> None:
    """The gateway on top of the service. At the end the gateway goes first, so that its last requests are answered."""
    service = DispatcherService(component.bus, settings, component.id)
    conversions = Conversions(component.bus, idle_s=settings.convert_idle_s)
    metrics = Metrics(component.bus, service, component.shipper)
    app = make_app(component.bus, service, conversions, metrics, max_body_bytes=settings.max_body_bytes)
    server = make_server(app, settings, component.ready)
    end = asyncio.Event()
    try:
        await _serve(component, service, server, end)
    except* UnavailableError as group:  # out of the task group's wrapping: the command makes a sentence of it
        raise group.exceptions[0] from None


async def _serve(component: Component, service: DispatcherService, server: uvicorn.Server, end: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as tasks:
        started = asyncio.Event()
        tasks.create_task(service.run(end, started), name="dispatcher")
        await started.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(REGISTRY_WAIT_S):
                await service.registry_read()
        stopper = tasks.create_task(_stop(component.stopping, server), name="stop")
        try:
            await server.serve()
        except SystemExit as exc:  # uvicorn's way to say that it cannot listen
            raise UnavailableError(
                f"cannot listen on {server.config.host}:{server.config.port}: is the port taken? Choose another with "
                "--http-port"
            ) from exc
        finally:
            stopper.cancel()
            end.set()


async def _stop(stopping: asyncio.Event, server: uvicorn.Server) -> None:
    await stopping.wait()
    server.should_exit = True


command = settings_command(
    DispatcherSettings, run, name="dispatcher", help_text="Run a dispatcher: the HTTP gateway and the router."
)

if __name__ == "__main__":
    sys.exit(command())
