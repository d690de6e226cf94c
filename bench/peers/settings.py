"""The settings of the comparison with peers."""

from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from bench.live.settings import TrafficSettings

RAY_PYTHON: Final = Path(".venv-ray/bin/python")
QUICK_REQUESTS: Final = 100


class PeersSettings(TrafficSettings, frozen=True, kw_only=True):
    """The pool, the requests, and the sides; the defaults are the setting in which Ray Serve was first measured."""

    requests: Annotated[int, Meta(description="Requests to each side in a round.", ge=1)] = 600
    wait_avg: Annotated[float, Meta(description="Mean wait of a producer after an answer, in seconds.", ge=0)] = 0.05
    wait_stddev: Annotated[float, Meta(description="Standard deviation of that wait.", ge=0)] = 0.02
    load_ms: Annotated[float, Meta(description="Time of a load.", ge=0)] = 200.0
    run_ms: Annotated[float, Meta(description="Run time of a task.", ge=0)] = 5.0
    workers: Annotated[int, Meta(description="Workers, and replicas of Ray Serve.", ge=1, le=64)] = 2
    capacity: Annotated[int, Meta(description="Labels that each of them holds.", ge=1)] = 2
    slots: Annotated[int, Meta(description="Tasks that each of them runs at once.", ge=1)] = 1
    window: Annotated[
        tuple[Annotated[int, Meta(ge=0, le=1000)], ...],
        Meta(description="Tasks that a labelbus worker takes beyond its slots; may be repeated: a side each."),
    ] = (1,)
    rounds: Annotated[int, Meta(description="Rounds; every side gets the same requests in a round.", ge=1)] = 3
    seed: Annotated[int, Meta(description="Seed of the first round's labels and waits; the next is one more.")] = 0
    ray: Annotated[bool, Meta(description="Measure Ray Serve; without it only labelbus is measured.")] = True
    ray_ongoing: Annotated[
        int, Meta(description="Ray Serve's max_ongoing_requests of a replica; 0: Ray's default.", ge=0)
    ] = 0
    ray_python: Annotated[Path, Meta(description="Python of the environment that has Ray Serve.")] = RAY_PYTHON
    start_timeout_s: Annotated[float, Meta(description="Time that a side may take to start.", gt=0)] = 180.0
    keep_logs: Annotated[bool, Meta(description="Keep the log files of the labelbus sides with the results.")] = False
    quick: Annotated[bool, Meta(description=f"One round of {QUICK_REQUESTS} requests.")] = False
    results: Annotated[Path, Meta(description="Folder for the results.")] = Path("bench-results")

    def in_effect(self) -> "PeersSettings":
        """Return the settings with what `quick` stands for."""
        return msgspec.structs.replace(self, requests=QUICK_REQUESTS, rounds=1) if self.quick else self
