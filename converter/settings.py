"""The converter's settings."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from bus.settings import BusSettings

DEFAULT_MAX_BATCH_SIZE = 32
MAX_BATCH_SIZE = 1024


class ConversionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one conversion, the same for the service and for the command."""

    conversion_timeout_s: float = 900.0
    hub_timeout_s: float = 5.0
    max_queue_delay_us: int = 0
    """0: the only client of a worker's Triton is that worker, which sends one run at a time and batches by itself."""
    memory_limit_mb: int = 0
    """Resident memory of the child process; 0 is no limit. MiniLM takes 900, torch alone 500."""


class ConverterSettings(BusSettings, frozen=True, kw_only=True):
    """Settings of the converter service."""

    model_repository: Annotated[Path, Meta(description="Folder of the Triton model repository.")]
    converter_id: Annotated[
        str, Meta(description="Name in subjects and log records; made of host and process by default.")
    ] = ""
    allow_folder: Annotated[
        tuple[Path, ...],
        Meta(description="Folder whose models may be converted; may be repeated. None by default."),
    ] = ()
    max_concurrent: Annotated[
        int, Meta(description="Conversions that run at once; each takes 1 to 3 GB of memory.", ge=1, le=64)
    ] = 1
    max_waiting: Annotated[int, Meta(description="Conversions that may wait; any more are refused.", ge=0)] = 8
    conversion_timeout_s: Annotated[float, Meta(description="Longest time of a conversion.", gt=0)] = 900.0
    hub_timeout_s: Annotated[
        float, Meta(description="Longest wait for the model hub; after it the hub counts as unreachable.", gt=0)
    ] = 5.0
    max_queue_delay_us: Annotated[
        int,
        Meta(description="Longest time that Triton holds a request back to batch it with others.", ge=0, le=1_000_000),
    ] = 0
    memory_limit_mb: Annotated[
        int, Meta(description="Limit of the memory of a conversion's process; 0 is no limit.", ge=0)
    ] = 0
    drain_timeout_s: Annotated[
        float, Meta(description="Longest time that a running conversion may go on after SIGTERM.", ge=0)
    ] = 10.0

    @property
    def limits(self) -> ConversionLimits:
        """The limits of one conversion."""
        return ConversionLimits(
            conversion_timeout_s=self.conversion_timeout_s,
            hub_timeout_s=self.hub_timeout_s,
            max_queue_delay_us=self.max_queue_delay_us,
            memory_limit_mb=self.memory_limit_mb,
        )
