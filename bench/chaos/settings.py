"""The settings of the chaos run."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from bench.history.record import RecordSettings


class ChaosSettings(RecordSettings, frozen=True, kw_only=True):
    """Length and load of the run, and the number of parts."""

    minutes: Annotated[float, Meta(description="Length of the run.", gt=0)] = 10.0
    rate: Annotated[float, Meta(description="Tasks a second.", gt=0)] = 40.0
    labels: Annotated[int, Meta(description="Number of labels.", ge=1)] = 8
    sleep_ms: Annotated[float, Meta(description="Run time of a task.", ge=0)] = 40.0
    deadline_s: Annotated[float, Meta(description="Deadline of a task.", gt=0)] = 30.0
    workers: Annotated[int, Meta(description="Number of workers.", ge=2)] = 3
    dispatchers: Annotated[int, Meta(description="Number of dispatchers.", ge=2)] = 2
    pause_s: Annotated[float, Meta(description="Longest pause between faults.", gt=0)] = 4.0
    seed: Annotated[int, Meta(description="Seed of the faults.")] = 1
    results: Annotated[Path, Meta(description="Folder for the results.")] = Path("bench-results")
