"""POST /upload-model."""

from typing import Annotated

from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.params import Body

from bus.messages import ConvertRequest
from dispatcher.api.problems import documented
from dispatcher.api.schema import Uploaded, UploadModel
from dispatcher.conversions import Conversions


def upload_model_route(conversions: Conversions) -> HTTPRouteHandler:
    """The route, on these conversions."""

    @post(
        "/upload-model",
        status_code=200,
        summary="Convert a SentenceTransformer and put it into the model repository",
        responses=documented(400, 404, 409, 413, 422, 429, 500, 502, 503, 504),
    )
    async def upload_model(data: Annotated[UploadModel, Body(description="The model")]) -> Uploaded:
        reply = await conversions.convert(
            ConvertRequest(model_id=data.model_id, max_batch_size=data.max_batch_size, overwrite=data.overwrite)
        )
        return Uploaded(status="success", model_name=reply.model_name, message=reply.message)

    return upload_model
