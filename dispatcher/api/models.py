"""POST /upload-model."""

import asyncio
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Body
from loguru import logger

from bus.messages import ConvertRequest
from dispatcher.api.disconnects import CLIENT_CLOSED_REQUEST, ClientDisconnectedError, Disconnects
from dispatcher.api.fast_path import fast_path
from dispatcher.api.problems import documented
from dispatcher.api.responses import RawResponse
from dispatcher.api.schema import Uploaded, UploadModel
from dispatcher.conversions import Conversions

_encode = msgspec.json.Encoder().encode


def upload_model_route(conversions: Conversions) -> HTTPRouteHandler:
    """Return the route, on these conversions."""
    disconnects = Disconnects()

    @post(
        "/upload-model",
        status_code=200,
        summary="Convert a SentenceTransformer and put it into the model repository",
        middleware=[fast_path(UploadModel)],
        responses={
            200: ResponseSpec(data_container=Uploaded, description="The model is in the repository"),
            **documented(400, 404, 408, 409, 413, 415, 422, 429, 500, 502, 503, 504),
        },
        exception_handlers={ClientDisconnectedError: _on_client_disconnected},
    )
    async def upload_model(
        data: Annotated[UploadModel, Body(description="The model")], request: Request[Any, Any, Any]
    ) -> Response[bytes]:
        asked = ConvertRequest(model_id=data.model_id, max_batch_size=data.max_batch_size, overwrite=data.overwrite)
        converting = asyncio.create_task(conversions.convert(asked), name=f"conversion of {asked.model_id}")
        with disconnects.watched(request.receive, converting.cancel):
            reply = await converting
        uploaded = Uploaded(status="success", model_name=reply.model_name, message=reply.message)
        return RawResponse(_encode(uploaded), headers=[])

    return upload_model


def _on_client_disconnected(request: Request[Any, Any, Any], _: ClientDisconnectedError) -> Response[bytes]:
    """Return an answer that no client reads. The conversion continues: a repeated request joins it."""
    logger.bind(path=request.url.path).info("client disconnected, conversion continues")
    return RawResponse(b"", headers=[], status_code=CLIENT_CLOSED_REQUEST)
