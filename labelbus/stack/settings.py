"""The settings of the local stack."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class StackSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a local stack and their settings. Port 0 is any free one; everything listens on loopback only."""

    data: Annotated[Path, Meta(description="Folder for the NATS store, logs and output.")] = Path(".labelbus/up")
    model_repository: Annotated[Path, Meta(description="Folder of the model repository.")] = Path(".labelbus/models")
    http_port: Annotated[int, Meta(description="Port of the gateway; 0: a free one.", ge=0, le=65535)] = 8080
    nats_port: Annotated[int, Meta(description="Port of NATS; 0: a free one.", ge=0, le=65535)] = 4222
    workers: Annotated[int, Meta(description="Number of workers.", ge=0, le=256)] = 2
    dispatchers: Annotated[
        int, Meta(description="Number of dispatchers; only the first has the port.", ge=1, le=16)
    ] = 1
    capacity: Annotated[int, Meta(description="Labels that a worker holds.", ge=1)] = 2
    slots: Annotated[int, Meta(description="Tasks that a worker runs at once.", ge=1)] = 1
    window: Annotated[int, Meta(description="Tasks that a worker accepts beyond its slots.", ge=0)] = 1
    pass_tasks: Annotated[
        int, Meta(description="Most tasks of one label in one run of its model (a pass); 1: no passes.", ge=1, le=1_024)
    ] = 64
    runtime: Annotated[Literal["auto", "triton", "onnx", "simulated"], Meta(description="Runtime of the workers.")] = (
        "auto"
    )
    simulated_load_ms: Annotated[float, Meta(description="Time of a simulated load.", ge=0)] = 500.0
    simulated_run_ms: Annotated[float, Meta(description="Time of a simulated run whatever is in it.", ge=0)] = 0.0
    simulated_item_ms: Annotated[float, Meta(description="Time that each task adds to a simulated run.", ge=0)] = 0.0
    threads: Annotated[int, Meta(description="Threads of one run of one model; 0: one a core.", ge=0)] = 0
    handlers: Annotated[
        tuple[str, ...], Meta(description="Module with task types of one's own, for the workers; may be repeated.")
    ] = ()
    policy: Annotated[Literal["affinity", "random"], Meta(description="Policy of the dispatcher.")] = "affinity"
    cpu_prof: Annotated[
        Path | None, Meta(description="Write a CPU profile (pstats) of the first dispatcher to this file at the end.")
    ] = None
    converter: Annotated[bool, Meta(description="Run a converter.")] = True
    logsink: Annotated[bool, Meta(description="Run a log sink.")] = True
    log_level: Annotated[str, Meta(description="Lowest level of log records.")] = "INFO"
    start_timeout_s: Annotated[float, Meta(description="Time that a part may take to start.", gt=0)] = 120.0
