"""The admission of a request: it starts a conversion, joins one that is in flight, or is refused. Pure code."""

from collections.abc import Mapping
from typing import Final

import msgspec

from bus.errors import ConflictError, LabelbusError, OverloadedError
from bus.messages import ConvertRequest
from converter.publish import already_there

MAX_JOINED: Final = 100
"""Requests that may wait for one conversion; each keeps a message in memory."""

RETRY_AFTER_S: Final = 30.0


class Start(msgspec.Struct, frozen=True):
    """Start a conversion: none of this model is in flight."""


class Join(msgspec.Struct, frozen=True):
    """Join the conversion of this model that is in flight, and share its reply."""


class Refuse(msgspec.Struct, frozen=True):
    """Refuse the request with this error."""

    error: LabelbusError


class InFlight(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion that waits or runs, and the number of requests that wait for it."""

    request: ConvertRequest
    joined: int


def admit(
    request: ConvertRequest, label: str, *, in_flight: Mapping[str, InFlight], exists: bool, max_in_flight: int
) -> Start | Join | Refuse:
    """Decide on a request for `label`, given the conversions in flight by label.

    `exists` says that the repository has an entry of this label. `max_in_flight` counts conversions that run and
    those that wait.
    """
    if exists and not request.overwrite:
        return Refuse(already_there(label))
    running = in_flight.get(label)
    if running is None:
        if len(in_flight) >= max_in_flight:
            return Refuse(
                OverloadedError(
                    f"{len(in_flight)} conversions are running or waiting: try again later",
                    retry_after_s=RETRY_AFTER_S,
                )
            )
        return Start()
    if _settings(request) != _settings(running.request):
        return Refuse(
            ConflictError(
                f"{label} is being converted with other settings: when that is done, try again with overwrite"
            )
        )
    if running.joined >= MAX_JOINED:
        return Refuse(
            OverloadedError(
                f"{running.joined} requests already wait for the conversion of {label}: try again later",
                retry_after_s=RETRY_AFTER_S,
            )
        )
    return Join()


def _settings(request: ConvertRequest) -> tuple[str, int]:
    return request.model_id, request.max_batch_size
