"""The settings of the log sink."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from bus.settings import BusSettings


class LogsinkSettings(BusSettings, frozen=True, kw_only=True):
    """The settings of the log sink: its folder, its portions, and its retention."""

    log_folder: Annotated[Path, Meta(description="Folder of the log files; one sink a folder.")] = Path("logs")
    logsink_id: Annotated[str, Meta(description="Id of this sink in its own log records.", min_length=1)] = "sink-1"
    log_consumer: Annotated[
        str,
        Meta(
            description="Durable consumer on the log stream; a second sink with its own folder needs its own.",
            pattern="^[A-Za-z0-9_-]{1,64}$",
        ),
    ] = "logsink"
    rotate_mb: Annotated[float, Meta(description="Size at which a log file is followed by the next.", gt=0)] = 64.0
    keep_days: Annotated[int, Meta(description="Days that log files are kept, today included.", ge=1)] = 30
    keep_mb: Annotated[float, Meta(description="Size of all log files above which the oldest are removed.", gt=0)] = (
        10_240.0
    )
    batch_messages: Annotated[int, Meta(description="Maximum number of messages written at once.", ge=1, le=10_000)] = (
        2000
    )
    linger_ms: Annotated[
        int, Meta(description="Time to gather messages before they are written together.", ge=0, le=10_000)
    ] = 50
