"""The settings of the benchmark of texts a second."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from bench.history.record import RecordSettings


class ThroughputSettings(RecordSettings, frozen=True, kw_only=True):
    """The load, what is measured beside labelbus, and the law of simulated runs."""

    runtime: Annotated[
        Literal["triton", "simulated"],
        Meta(description="The real MiniLM in Triton, or runs that only take the time of a GPU's (simulated)."),
    ] = "triton"
    clients: Annotated[
        tuple[Annotated[int, Meta(ge=1)], ...],
        Meta(description="Clients, each with one task at a time; may be repeated. By default 1, 16, 64, 256."),
    ] = ()
    texts_per_task: Annotated[
        int,
        Meta(description="Texts in a task; by default 1, and at 4 clients 32 (triton).", ge=0, le=256),
    ] = 0
    seconds: Annotated[float, Meta(description="Length of a leg; more clients than 64 take as much longer.", gt=0)] = (
        6.0
    )
    rounds: Annotated[int, Meta(description="Legs of each side at each number of clients.", ge=1)] = 4
    quick: Annotated[bool, Meta(description="Less than two minutes: 2 rounds of 2 s, at 1, 4 and 16 clients.")] = False
    threads: Annotated[int, Meta(description="Threads of one run of the model; 0: one a core (triton).", ge=0)] = 0
    infinity: Annotated[
        bool, Meta(description="Measure infinity-emb too, in an environment of its own under .labelbus (triton).")
    ] = False
    simulated_run_ms: Annotated[float, Meta(description="Time of a run whatever is in it (simulated).", ge=0)] = 8.0
    simulated_item_ms: Annotated[float, Meta(description="Time that each task adds to a run (simulated).", ge=0)] = 0.2
    simulated_load_ms: Annotated[float, Meta(description="Time of a load (simulated).", ge=0)] = 390.0
    pass_tasks: Annotated[int, Meta(description="Most tasks in a pass (simulated).", ge=1)] = 64
    logsink: Annotated[bool, Meta(description="Run a log sink too; it costs CPU but is not on the path.")] = False
    model_repository: Annotated[Path, Meta(description="Folder of the model repository.")] = Path(".labelbus/models")
    environments: Annotated[Path, Meta(description="Folder for the environment of infinity-emb.")] = Path(
        ".labelbus/bench-environments"
    )
    results: Annotated[Path, Meta(description="Folder for the results.")] = Path("bench-results")

    @property
    def legs_s(self) -> float:
        """Length of a leg of up to 64 clients."""
        return min(2.0, self.seconds) if self.quick else self.seconds

    @property
    def legs(self) -> int:
        """Legs of each side in each case."""
        return min(2, self.rounds) if self.quick else self.rounds
