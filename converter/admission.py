"""Whether a request begins a conversion, joins one that is under way, or is refused."""

from collections.abc import Mapping
from typing import Final

import msgspec

from bus.errors import ConflictError, LabelbusError, OverloadedError
from bus.messages import ConvertRequest
from converter.publish import already_there

MAX_JOINED: Final = 100
"""How many may wait for one conversion; each keeps a message in memory."""

RETRY_AFTER_S: Final = 30.0


class Start(msgspec.Struct, frozen=True):
    """Nobody converts this model: begin."""


class Join(msgspec.Struct, frozen=True):
    """The same is being done already: its answer is the answer."""


class Refuse(msgspec.Struct, frozen=True):
    """Not now, or not at all."""

    error: LabelbusError


class UnderWay(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion that waits or runs, and how many wait for it."""

    request: ConvertRequest
    joined: int


def admit(
    request: ConvertRequest, label: str, *, under_way: Mapping[str, UnderWay], exists: bool, max_under_way: int
) -> Start | Join | Refuse:
    """What to do with a request for `label`, given the conversions under way by label.

    `exists`: the repository has an entry of this label. `max_under_way` counts those that run and those that wait.
    """
    if exists and not request.overwrite:
        return Refuse(already_there(label))
    running = under_way.get(label)
    if running is None:
        if len(under_way) >= max_under_way:
            return Refuse(
                OverloadedError(
                    f"{len(under_way)} conversions are under way or waiting: try again in a while",
                    retry_after_s=RETRY_AFTER_S,
                )
            )
        return Start()
    asked, doing = (
        (request.model_id, request.max_batch_size),
        (running.request.model_id, running.request.max_batch_size),
    )
    if asked != doing:
        return Refuse(
            ConflictError(f"{label} is being converted with other settings: try again, with overwrite, when it is done")
        )
    if running.joined >= MAX_JOINED:
        return Refuse(OverloadedError(f"{running.joined} others wait for {label} already", retry_after_s=RETRY_AFTER_S))
    return Join()
