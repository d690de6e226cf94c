"""The settings of a worker's runtime."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from bus.settings import BusSettings


class RuntimeSettings(BusSettings, frozen=True, kw_only=True):
    """The part of a worker's settings that chooses and tunes its runtime; a struct has one base, hence the bus's."""

    runtime: Annotated[
        str,
        Meta(
            description="What labels are loaded into: triton, onnx (in process), simulated, or auto, which is triton "
            "where it can be had and onnx elsewhere.",
            pattern="^(auto|triton|onnx|simulated)$",
        ),
    ] = "auto"
    model_repository: Annotated[Path, Meta(description="Folder of the Triton model repository.")] = Path(
        ".labelbus/models"
    )
    triton_url: Annotated[
        str,
        Meta(
            description="gRPC address (host:port) of this worker's own Triton; without it, one from the wheel starts."
        ),
    ] = ""
    triton_unload_others: Annotated[
        bool, Meta(description="Unload what is found loaded in the Triton at --triton-url when the worker starts.")
    ] = False
    triton_log: Annotated[
        Path | None, Meta(description="File for the log of a Triton from the wheel; else DEBUG log records.")
    ] = None
    triton_grace_s: Annotated[
        float, Meta(description="How long a Triton from the wheel may take to end before it is killed.", gt=0)
    ] = 1.0
    threads: Annotated[int, Meta(description="Threads of one run of one model; 0 is one per core.", ge=0)] = 0
    start_timeout_s: Annotated[float, Meta(description="How long to wait for Triton at the start.", gt=0)] = 60.0
    load_timeout_s: Annotated[float, Meta(description="A load that takes longer has failed.", gt=0)] = 120.0
    simulated_load_ms: Annotated[float, Meta(description="Time of a simulated load.", ge=0)] = 500.0
    simulated_load_sigma: Annotated[
        float, Meta(description="Spread of simulated loads (log-normal); 0 is none.", ge=0, le=3)
    ] = 0.0
    simulated_seed: Annotated[int, Meta(description="Seed of the spread of simulated loads.")] = 0
    simulated_run_ms: Annotated[
        float, Meta(description="Time of a simulated run whatever is in it (a of a + b·n).", ge=0, le=3_600_000)
    ] = 0.0
    simulated_item_ms: Annotated[
        float, Meta(description="Time that each task adds to a simulated run (b of a + b·n).", ge=0, le=3_600_000)
    ] = 0.0

    @property
    def has_simulated_law(self) -> bool:
        """True for a simulated runtime whose runs take time; then tasks share its runs."""
        return self.runtime == "simulated" and self.simulated_run_ms + self.simulated_item_ms > 0
