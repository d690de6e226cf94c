"""The text of an exception as it goes into results and logs."""

from typing import Final

from bus.errors import reason

MAX_REASON_CHARS: Final = 4_000


def text_of(exc: BaseException) -> str:
    """Return the exception's text, fit for a message on the bus, whatever a handler's own exception does."""
    try:
        text = reason(exc)
    except Exception:  # noqa: BLE001  # a faulty __str__
        text = type(exc).__name__
    return text[:MAX_REASON_CHARS].encode(errors="replace").decode()
