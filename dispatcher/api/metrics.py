"""GET /metrics."""

from litestar import MediaType, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec

from dispatcher.metrics import MEDIA_TYPE, Metrics


def metrics_route(metrics: Metrics) -> HTTPRouteHandler:
    """Return the route, on these metrics."""

    @get(
        "/metrics",
        summary="Metrics in the text format of Prometheus",
        responses={
            200: ResponseSpec(
                data_container=str,
                description="One line a series",
                media_type=MediaType.TEXT,
                generate_examples=False,
            )
        },
    )
    async def metrics_text() -> Response[bytes]:
        return Response(metrics.text(), media_type=MEDIA_TYPE)

    return metrics_text
