"""The settings of the benchmark of the path, and the task that it sends."""

from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from bench.history.record import RecordSettings

TASK: Final = msgspec.json.encode({"task_type": "sample_task", "label": "bench/held", "parameters_json": {}}).decode()
"""The body of every request: a task that takes no time, for a label that the worker holds."""

SLOTS: Final = 256
"""More than connections: no task waits for a slot, so that the path is measured and not the worker."""


class PathSettings(RecordSettings, frozen=True, kw_only=True):
    """Numbers of connections, and the length of a run."""

    connections: Annotated[
        tuple[Annotated[int, Meta(ge=1)], ...], Meta(description="Number of connections; may be repeated.")
    ] = (1, 16, 32, 128)
    seconds: Annotated[float, Meta(description="Length of one leg.", gt=0)] = 1.0
    rounds: Annotated[int, Meta(description="Legs of each side at each number of connections.", ge=1)] = 10
    slots: Annotated[int, Meta(description="Tasks that the worker runs at once.", ge=1, le=1000)] = SLOTS
    logsink: Annotated[bool, Meta(description="Run a log sink too; it costs CPU but is not on the path.")] = False
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING"], Meta(description="Log level of all processes.")] = "INFO"
    results: Annotated[Path, Meta(description="Folder for the results.")] = Path("bench-results")
