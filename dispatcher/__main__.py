"""`python -m dispatcher`: the gateway and the dispatcher behind it."""

import asyncio
import cProfile
import sys
from contextlib import nullcontext, suppress
from typing import Final

import click
import msgspec

from bus.command import settings_command
from bus.component import Component, run_component
from bus.errors import UnavailableError
from dispatcher.api.app import make_app
from dispatcher.api.server import GatewayServer, make_server
from dispatcher.conversions import Conversions
from dispatcher.metrics import Metrics
from dispatcher.service import DispatcherService
from dispatcher.settings import DispatcherSettings

REGISTRY_WAIT_S: Final = 2.0
"""Time for which the gateway waits for the registry before it listens; without it, tasks go to the queue group."""


class Dispatcher(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a dispatcher, wired together."""

    component: Component
    service: DispatcherService
    conversions: Conversions
    metrics: Metrics
    server: GatewayServer


def wire(component: Component, settings: DispatcherSettings) -> Dispatcher:
    """Make the parts of a dispatcher; nothing runs yet. Call this inside the event loop."""
    service = DispatcherService(component.bus, settings, component.id)
    conversions = Conversions(component.bus, idle_s=settings.convert_idle_s)
    metrics = Metrics(component.bus, service, component.shipper)
    app = make_app(component.bus, service, conversions, metrics, max_body_bytes=settings.max_body_bytes)
    server = make_server(app, settings, component.ready)
    return Dispatcher(component=component, service=service, conversions=conversions, metrics=metrics, server=server)


async def serve(dispatcher: Dispatcher) -> None:
    """Serve until the component is stopping. The gateway ends first, so that its last requests are answered."""
    try:
        await _serve(dispatcher)
    except* UnavailableError as group:  # out of the task group's wrapping: the command makes a sentence of it
        raise group.exceptions[0] from None


async def _serve(dispatcher: Dispatcher) -> None:
    component, service, server = dispatcher.component, dispatcher.service, dispatcher.server
    stopping, started = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(service.run(stopping, started), name="dispatcher")
        await started.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(REGISTRY_WAIT_S):
                await service.watch.synced()
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
            stopping.set()


async def _stop(stopping: asyncio.Event, server: GatewayServer) -> None:
    await stopping.wait()
    server.should_exit = True


def run(settings: DispatcherSettings) -> int:
    """Serve until SIGTERM; return the exit status."""
    profile = cProfile.Profile() if settings.cpu_prof else None

    async def main(component: Component) -> None:
        with profile or nullcontext():
            await serve(wire(component, settings))

    status = run_component(settings, component="dispatcher", component_id=settings.id, main=main)
    if profile is not None and settings.cpu_prof is not None:
        profile.dump_stats(settings.cpu_prof)
        click.echo(f"CPU profile written to {settings.cpu_prof}: python -m pstats {settings.cpu_prof}", err=True)
    return status


command = settings_command(
    DispatcherSettings, run, name="dispatcher", help_text="Run a dispatcher: the HTTP gateway and the router."
)

if __name__ == "__main__":
    sys.exit(command())
