"""The gateway's ASGI application."""

from litestar import Litestar
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig

from bus.connection import Bus
from bus.errors import LabelbusError
from bus.version import labelbus_version
from dispatcher.api.metrics import metrics_route
from dispatcher.api.models import upload_model_route
from dispatcher.api.problems import on_http_exception, on_labelbus_error, on_unexpected
from dispatcher.api.reads import read_routes
from dispatcher.api.tasks import run_task_route
from dispatcher.conversions import Conversions
from dispatcher.metrics import Metrics
from dispatcher.service import DispatcherService


def make_app(
    bus: Bus, service: DispatcherService, conversions: Conversions, metrics: Metrics, *, max_body_bytes: int
) -> Litestar:
    """Return the application; its OpenAPI document is at /schema."""
    return Litestar(
        route_handlers=[
            *read_routes(bus, service),
            metrics_route(metrics),
            run_task_route(service),
            upload_model_route(conversions),
        ],
        exception_handlers={
            LabelbusError: on_labelbus_error,
            HTTPException: on_http_exception,
            Exception: on_unexpected,
        },
        openapi_config=OpenAPIConfig(
            title="labelbus",
            version=labelbus_version(),
            description="Runs tasks on workers that already hold their label.",
            use_handler_docstrings=True,
        ),
        request_max_body_size=max_body_bytes,
        logging_config=None,
    )
