"""JSON bodies of requests: which are accepted, and how they are read and decoded.

A body without `Content-Type: application/json` is refused. A web page may send forms, plain text and bodies without a
type to any address, a gateway on the reader's own machine included, without asking first; for JSON the browser asks
with a preflight request, which the gateway does not grant.
"""

import difflib
import re
from collections.abc import Callable, Iterable
from email.message import Message
from typing import Any, Final

import msgspec
from litestar.types import Receive

from bus.errors import MalformedError, TooLargeError, UnsupportedMediaTypeError
from dispatcher.api.responses import JSON

USUAL_TYPES: Final = frozenset({b"application/json", b"application/json; charset=utf-8"})
"""Content types that are accepted without parsing them."""

SENT_BY_CURL: Final = "application/x-www-form-urlencoded"
MAX_SHOWN_CHARS: Final = 64
"""Most characters of a header or of a field's name that an error message repeats."""

_UNKNOWN_FIELD: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)


def check_headers(headers: Iterable[tuple[bytes, bytes]], *, limit: int | None) -> None:
    """Reject a body that its headers rule out, before it is read.

    Raises `UnsupportedMediaTypeError` or, for a Content-Length over `limit` bytes, `TooLargeError`.
    """
    found = dict(headers)
    content_type = found.get(b"content-type", b"")
    if content_type not in USUAL_TYPES:
        _check_content_type(content_type.decode("latin-1"))
    if b"content-encoding" in found:
        _check_content_encoding(found[b"content-encoding"].decode("latin-1"))
    if limit is not None and int(found.get(b"content-length", 0)) > limit:  # the parser lets digits through alone
        raise _too_large(limit)


async def read_body(receive: Receive, *, limit: int | None) -> bytes | None:
    """Return the whole body, or None if the client disconnected while it sent it.

    Raises `TooLargeError` once there are more than `limit` bytes, without reading the rest.
    """
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        assert message["type"] == "http.request"
        body = body + message["body"] if body else message["body"]
        if limit is not None and len(body) > limit:
            raise _too_large(limit)
        if not message.get("more_body"):
            return body


class BodyDecoder:
    """Decoder of JSON bodies into one type of struct."""

    def __init__(self, body_type: type[msgspec.Struct], dec_hook: Callable[[type, Any], Any] | None = None) -> None:
        self._type = body_type
        self._decode = msgspec.json.Decoder(body_type, dec_hook=dec_hook).decode

    def decode(self, body: bytes) -> msgspec.Struct:
        """Return the body decoded; raises `MalformedError` for one that does not fit."""
        try:
            return self._decode(body)
        except msgspec.ValidationError as exc:
            raise MalformedError(self._misfit(str(exc))) from exc
        except msgspec.DecodeError as exc:
            raise MalformedError(f"the body is not JSON: {exc}") from exc
        except UnicodeDecodeError as exc:
            raise MalformedError(f"the body is not UTF-8: {exc}") from exc
        except RecursionError as exc:
            raise MalformedError("the body is nested too deeply") from exc

    def _misfit(self, text: str) -> str:
        message, _, path = text.partition(" - at ")
        unknown = _UNKNOWN_FIELD.fullmatch(message)
        if unknown is None or path:
            return f"{path.strip('`$.') or 'body'}: {message}"
        name = unknown[1]
        known = [field.encode_name for field in msgspec.structs.fields(self._type)]
        near = difflib.get_close_matches(name, known, n=1) if len(name) <= MAX_SHOWN_CHARS else []
        hint = f"did you mean `{near[0]}`?" if near else f"the known fields are {', '.join(known)}"
        return f"unknown field `{_shown(name)}`: {hint}"


def _check_content_type(value: str) -> None:
    if not value:
        raise UnsupportedMediaTypeError("the body has no Content-Type; add the header `Content-Type: application/json`")
    media_type = value.partition(";")[0].strip().lower()
    if media_type == SENT_BY_CURL:
        raise UnsupportedMediaTypeError(
            f"bodies must be JSON, not {SENT_BY_CURL}, which curl sends unless told otherwise; "
            "add -H 'Content-Type: application/json'"
        )
    if media_type != JSON:
        raise UnsupportedMediaTypeError(
            f"bodies must be JSON, not {_shown(media_type)}; send the header `Content-Type: application/json`"
        )
    header = Message()
    header["Content-Type"] = value
    charset = header.get_param("charset", "utf-8")
    if not isinstance(charset, str) or charset.lower() not in ("utf-8", "utf8"):
        raise UnsupportedMediaTypeError(f"JSON must be in UTF-8, not {_shown(str(charset))}")


def _check_content_encoding(value: str) -> None:
    if value.strip().lower() not in ("", "identity"):
        raise UnsupportedMediaTypeError(
            f"a body with Content-Encoding {_shown(value)} is not understood; send it uncompressed"
        )


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"the body has more than {limit:,} bytes")


def _shown(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}…"
