"""GET /health, /workers and /labels."""

from collections.abc import Sequence

from litestar import get
from litestar.handlers import HTTPRouteHandler

from bus.connection import Bus
from bus.errors import UnavailableError
from dispatcher.api.problems import documented
from dispatcher.api.schema import Message, Workers
from dispatcher.service import DispatcherService


def read_routes(bus: Bus, service: DispatcherService) -> Sequence[HTTPRouteHandler]:
    """Return the routes, on this service."""

    @get("/health", summary="Whether tasks can be run", responses=documented(503))
    async def health() -> Message:
        if not bus.connected:
            raise UnavailableError("NATS is not reachable; tasks wait until it is back or their deadline passes")
        return Message(message="OK")

    @get("/health/live", summary="Whether the process is alive: restart it if not")
    async def live() -> Message:
        return Message(message="OK")

    @get("/health/ready", summary="Whether to send requests here", responses=documented(503))
    async def ready() -> Message:
        if not bus.connected:
            raise UnavailableError("NATS is not reachable")
        if not service.registry_synced:
            raise UnavailableError("the label registry has not been read yet")
        return Message(message="OK")

    @get("/workers", summary="The workers that are there")
    async def workers() -> Workers:
        return Workers(workers=sorted(view.worker_id for view in service.router.workers()))

    @get("/labels", summary="Which workers hold which label")
    async def labels() -> dict[str, list[str]]:
        return {label: sorted(holders) for label, holders in sorted(service.router.held().items())}

    return (health, live, ready, workers, labels)
