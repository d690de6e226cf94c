"""nats-py's errors as labelbus errors: the one translation, so that users of a `Bus` meet labelbus errors only."""

from collections.abc import Iterator
from contextlib import contextmanager

import nats.errors
import nats.js.errors

from bus.errors import (
    BadNameError,
    LabelbusError,
    NoRespondersError,
    NotFoundError,
    RequestTimeoutError,
    TooLargeError,
    UnavailableError,
    reason,
)

NATS_ERRORS = (nats.errors.Error, TimeoutError)
"""Base classes of everything that nats-py raises while it talks to a server."""


@contextmanager
def translated(attempted: str) -> Iterator[None]:
    """Raise the labelbus error for any of nats-py's from the block; `attempted` names what failed."""
    try:
        yield
    except NATS_ERRORS as exc:
        raise labelbus_error(exc, attempted) from exc


def labelbus_error(exc: BaseException, attempted: str) -> LabelbusError:
    """Return the labelbus error for one of nats-py's; `attempted` names what failed ("could not publish to lb.x")."""
    match exc:
        case nats.errors.MaxPayloadError():
            return TooLargeError(f"{attempted}: the message is over the NATS server's max_payload; send less at once")
        case nats.errors.OutboundBufferLimitError():
            return UnavailableError(f"{attempted}: NATS is away and the buffer of unsent messages is full; try again")
        case nats.errors.ConnectionClosedError() | nats.errors.ConnectionDrainingError():
            return UnavailableError(f"{attempted}: the connection to NATS is closed")
        case nats.errors.NoRespondersError():
            return NoRespondersError(f"{attempted}: nobody listens there")
        case nats.js.errors.NoStreamResponseError():
            return NotFoundError(f"{attempted}: no stream keeps this subject; is JetStream enabled on the NATS server?")
        case nats.js.errors.ServiceUnavailableError():
            return UnavailableError(f"{attempted}: {described(exc)}; is JetStream enabled on the NATS server?")
        case nats.js.errors.NotFoundError():
            return NotFoundError(f"{attempted}: {described(exc)}")
        case nats.errors.BadSubjectError() | nats.errors.BadHeaderError():
            return BadNameError(f"{attempted}: {reason(exc)}")
        case TimeoutError():
            return RequestTimeoutError(f"{attempted}: no answer in time; is the NATS server overloaded or away?")
        case nats.js.errors.APIError():
            return UnavailableError(f"{attempted}: {described(exc)}")
        case _:
            return UnavailableError(f"{attempted}: {reason(exc)}")


def described(exc: nats.js.errors.APIError) -> str:
    """Return the server's own description of a JetStream error, or the name of the error if there is none."""
    return getattr(exc, "description", None) or type(exc).__name__
