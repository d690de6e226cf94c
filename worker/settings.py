"""The worker's settings."""

import os
import socket
from typing import Annotated, Final

from msgspec import Meta

from bus.names import check_worker_id
from bus.registration import DEFAULT_HEARTBEAT_S
from worker.runtimes.settings import RuntimeSettings

MAX_CAPACITY: Final = 1_000
"""Bound of the labels in a registry entry and in the state that goes with each answer."""


class WorkerSettings(RuntimeSettings, frozen=True, kw_only=True):
    """One worker: its name, the labels it holds and the tasks it runs at once, and its runtime."""

    worker_id: Annotated[str, Meta(description="Name on the bus; made from host and process when empty.")] = ""
    capacity: Annotated[int, Meta(description="Labels held at once.", ge=1, le=MAX_CAPACITY)] = 2
    slots: Annotated[int, Meta(description="Tasks run at once.", ge=1, le=1_000)] = 1
    window: Annotated[
        int,
        Meta(description="Tasks taken ahead while all slots are full, to hide the way between tasks.", ge=0, le=100),
    ] = 1
    pass_tasks: Annotated[
        int,
        Meta(
            description="Most tasks of one label in one run of its model (a pass); 1 switches passes off.",
            ge=1,
            le=1_024,
        ),
    ] = 64
    pass_tokens: Annotated[
        int,
        Meta(description="Most padded tokens in one run of a model; a longer text runs alone.", ge=1, le=1 << 20),
    ] = 16_384
    kind: Annotated[
        str,
        Meta(
            description="Workers of one kind are alike in speed; the runtime's name when empty.",
            pattern="^[A-Za-z0-9._-]{0,64}$",
        ),
    ] = ""
    heartbeat_s: Annotated[float, Meta(description="Between heartbeats; a key lives three.", ge=0.2, le=60)] = (
        DEFAULT_HEARTBEAT_S
    )
    drain_s: Annotated[float, Meta(description="How long to finish tasks after SIGTERM.", ge=0)] = 30.0
    max_texts: Annotated[int, Meta(description="Texts in one embed_texts task.", ge=1)] = 1024
    max_text_chars: Annotated[int, Meta(description="Characters in one text.", ge=1)] = 100_000
    handlers: Annotated[tuple[str, ...], Meta(description="Module with task types of one's own; may be repeated.")] = ()

    def __post_init__(self) -> None:
        # More slots than capacity are fine: tasks of one label share it, and a task without room holds no label.
        if self.worker_id:
            check_worker_id(self.worker_id)

    @property
    def id(self) -> str:
        """The worker's name."""
        return self.worker_id or default_id()


def default_id() -> str:
    """Return host name and process id, as far as they fit."""
    host = "".join(c if c.isascii() and c.isalnum() else "-" for c in socket.gethostname()).strip("-") or "worker"
    return f"{host[:48]}-{os.getpid()}"
