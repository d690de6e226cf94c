"""The settings of the live benchmark."""

from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta

from bench.history.record import RecordSettings

CLOSED_SCALE: Final = 0.1
"""Factor on the producers' waits by default: a run of 2,400 requests takes minutes and not an hour."""

Policy = Literal["affinity", "random"]


class TrafficSettings(RecordSettings, frozen=True, kw_only=True):
    """The requests of a run: how many, when, and for which labels."""

    requests: Annotated[int, Meta(description="Number of requests.", ge=1)] = 2400
    producers: Annotated[int, Meta(description="Producers, each with one request at a time.", ge=1)] = 2
    wait_avg: Annotated[float, Meta(description="Mean wait of a producer after an answer, in seconds.", ge=0)] = 2.5
    wait_stddev: Annotated[float, Meta(description="Standard deviation of that wait.", ge=0)] = 1.0
    rate: Annotated[float, Meta(description="Requests a second at random moments (open loop); 0: producers.", ge=0)] = (
        0.0
    )
    labels: Annotated[int, Meta(description="Number of labels.", ge=1)] = 5
    zipf: Annotated[float, Meta(description="Exponent of the labels' popularity; 0: all equal.", ge=0)] = 0.0


class LiveSettings(TrafficSettings, frozen=True, kw_only=True):
    """The parameters of the published benchmark, and some more."""

    time_scale: Annotated[
        float,
        Meta(description="Factor on waits and simulated times; 0: 0.1 for producers, 1 with --rate.", ge=0),
    ] = 0.0
    workers: Annotated[int, Meta(description="Number of workers.", ge=1)] = 2
    capacity: Annotated[int, Meta(description="Labels that a worker can hold.", ge=1)] = 2
    slots: Annotated[int, Meta(description="Tasks that a worker runs at once.", ge=1)] = 1
    window: Annotated[
        int, Meta(description="Tasks that a worker takes beyond its slots; with 0 a load takes a slot.", ge=0, le=1000)
    ] = 1
    runtime: Annotated[
        Literal["triton", "onnx", "simulated"],
        Meta(description="Real MiniLM models (triton, onnx), or loads and runs that only wait (simulated)."),
    ] = "triton"
    texts: Annotated[int, Meta(description="Texts in a task (triton, onnx).", ge=1)] = 8
    run_ms: Annotated[float, Meta(description="Run time of a task (simulated).", ge=0)] = 87.5
    load_ms: Annotated[float, Meta(description="Time of a load (simulated).", ge=0)] = 390.0
    policy: Annotated[Policy, Meta(description="Policy of the dispatcher.")] = "affinity"
    compare: Annotated[bool, Meta(description="Run both policies on the same arrivals.")] = False
    seed: Annotated[int, Meta(description="Seed of labels and waits.")] = 0
    model_repository: Annotated[Path, Meta(description="Folder of the model repository.")] = Path(".labelbus/models")
    results: Annotated[Path, Meta(description="Folder for the results.")] = Path("bench-results")

    @property
    def scale(self) -> float:
        """The factor on waits: `time_scale`, or its default for this kind of arrivals."""
        return self.time_scale or (1.0 if self.rate else CLOSED_SCALE)
