"""The dispatcher's settings."""

import os
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from bus.names import check_worker_id
from bus.settings import BusSettings


class DispatcherSettings(BusSettings, frozen=True, kw_only=True):
    """Settings of one dispatcher: its gateway, its router, its limits."""

    dispatcher_id: Annotated[str, Meta(description="Name on the bus; made from the process when empty.")] = ""
    http_host: Annotated[str, Meta(description="Address that the gateway listens on.")] = "127.0.0.1"
    http_port: Annotated[int, Meta(description="Port of the gateway; 0: a free one.", ge=0, le=65535)] = 8080
    policy: Annotated[
        Literal["affinity", "random"],
        Meta(description="affinity: to a worker that holds the label; random: to any free worker."),
    ] = "affinity"
    task_timeout_s: Annotated[float, Meta(description="Time until the deadline of a task that names none.", gt=0)] = (
        60.0
    )
    max_timeout_s: Annotated[
        float, Meta(description="Longest time until a deadline that a task may ask for.", gt=0)
    ] = 3600.0
    max_body_bytes: Annotated[int, Meta(description="Largest request body.", ge=1024)] = 8 * 1024 * 1024
    http_head_timeout_s: Annotated[
        float, Meta(description="Time for a request line and headers to arrive; 408 after it.", gt=0)
    ] = 10.0
    http_body_timeout_s: Annotated[
        float, Meta(description="Time for a body to arrive (408 after it), or for an answer to be read.", gt=0)
    ] = 30.0
    http_min_bytes_per_s: Annotated[
        int, Meta(description="A body or answer has one second more for each so many bytes that get through.", ge=1)
    ] = 4096
    http_idle_timeout_s: Annotated[
        float, Meta(description="A connection without a request is closed after it.", gt=0)
    ] = 75.0
    max_waiting: Annotated[int, Meta(description="Tasks waiting for a worker, in all.", ge=1)] = 10_000
    max_waiting_per_label: Annotated[int, Meta(description="Tasks waiting for a worker, of one label.", ge=1)] = 2_000
    max_held_mb: Annotated[
        float, Meta(description="Parameters of all tasks in flight, waiting ones included, in MiB.", ge=1)
    ] = 512.0
    convert_idle_s: Annotated[
        float, Meta(description="Silence of the converter after which a request to it fails.", gt=0)
    ] = 60.0
    drain_s: Annotated[float, Meta(description="Time to answer the requests in flight after SIGTERM.", ge=0)] = 30.0
    cpu_prof: Annotated[Path | None, Meta(description="Write a CPU profile (pstats) to this file at the end.")] = None

    def __post_init__(self) -> None:
        if self.dispatcher_id:
            check_worker_id(self.dispatcher_id)

    @property
    def id(self) -> str:
        """Name of the dispatcher on the bus, a part of its reply subjects: no two may share one."""
        return self.dispatcher_id or f"dispatcher-{os.getpid()}"
