"""A response whose content and headers are bytes already."""

from typing import Any, Final

from litestar import Response
from litestar.response.base import ASGIResponse
from litestar.types import Send

RawHeaders = list[tuple[bytes, bytes]]

JSON: Final = "application/json"


class RawResponse(Response[bytes]):
    """A response of bytes, with headers as ASGI takes them: names in lower case, each at most once.

    Litestar can send it, as it sends any response; `send_raw` sends it in a sixth of the time.
    """

    def __init__(  # not super's, which takes 3 µs
        self, content: bytes, *, media_type: str = JSON, headers: RawHeaders, status_code: int = 200
    ) -> None:
        self.content = content
        self.raw_headers = headers
        self.headers = {}
        self.media_type = media_type
        self.status_code = status_code
        self.background = None
        self.cookies = []
        self.encoding = "utf-8"
        self.response_type_encoders = {}

    def to_asgi_response(self, **kwargs: Any) -> ASGIResponse:  # type: ignore[override]  # handed on as they are
        """Return the response as Litestar sends it."""
        self.headers = {name.decode("ascii"): value.decode("latin-1") for name, value in self.raw_headers}
        return super().to_asgi_response(**kwargs)


async def send_raw(response: RawResponse, send: Send) -> None:
    """Send the response."""
    content = response.content
    headers = response.raw_headers
    headers.append((b"content-type", str(response.media_type).encode("ascii")))
    headers.append((b"content-length", b"%d" % len(content)))
    await send({"type": "http.response.start", "status": response.status_code or 200, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": False})
