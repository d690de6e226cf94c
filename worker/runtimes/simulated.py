"""Labels without models, whose loads and runs take a given time: for benchmarks of routing and of passes."""

import asyncio
import math
import random
import time
from collections.abc import Mapping
from typing import Final

from bus.errors import BadParametersError, DeadlineError
from worker.runtimes.protocol import LabelsLost, Tensors

MAX_ROWS: Final = 1_024
"""Rows of one simulated run."""

CARRIED_S: Final = 0.001
"""Most that one run makes up for another: timers of the event loop go off up to a millisecond early or late."""


class SimulatedRuntime:
    """Loads and runs that only wait, for task handlers that need no model, such as sample_task.

    A load takes `load_ms`, or the time that `label_load_ms` has for its label. With `sigma` above 0 the time of each
    load is drawn from a log-normal distribution with that mean, the same sequence for the same seed.
    A run of n rows takes `run_ms` + n · `item_ms`, and gives back its inputs. With neither there are no runs.
    """

    name: str = "simulated"

    def __init__(
        self,
        load_ms: float,
        *,
        label_load_ms: Mapping[str, float] | None = None,
        sigma: float = 0.0,
        seed: int = 0,
        run_ms: float = 0.0,
        item_ms: float = 0.0,
    ) -> None:
        self._load_ms = load_ms
        self._label_load_ms = dict(label_load_ms or {})
        self._sigma = sigma
        self._random = random.Random(seed)
        self._run_s = run_ms / 1000
        self._item_s = item_ms / 1000
        self._late_s = 0.0

    def on_labels_lost(self, callback: LabelsLost) -> None:
        """See `Runtime`. The callback is never called: nothing here can be lost."""

    async def start(self) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        """Nothing to do."""

    async def check(self, label: str) -> None:
        """Accept every label."""

    async def load(self, label: str) -> None:
        """Wait for the time that a load of this label takes."""
        await asyncio.sleep(self.next_load_ms(label) / 1000)

    async def unload(self, label: str) -> None:
        """Nothing to do."""

    async def run(self, label: str, inputs: Tensors, *, timeout_s: float | None = None) -> Tensors:
        """Wait for the time of the run and return the inputs; `BadParametersError` if runs take no time."""
        if not self._run_s + self._item_s:
            raise BadParametersError(
                f"{label} is held by a simulated runtime, which has no models: send sample_task, start the worker with "
                "--runtime triton or onnx, or give its runs a time with --simulated-run-ms"
            )
        rows = max((len(array) if array.ndim else 1 for array in inputs.values()), default=1)
        asked_s = self._run_s + self._item_s * rows
        began = time.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.sleep(asked_s - self._late_s)
        except TimeoutError as exc:
            raise DeadlineError(f"{label} gave no answer in time") from exc
        late_s = self._late_s + time.monotonic() - began - asked_s
        self._late_s = min(max(late_s, -CARRIED_S), CARRIED_S)
        return dict(inputs)

    async def max_rows(self, label: str) -> int:
        """See `Runtime`."""
        return MAX_ROWS if self._run_s + self._item_s else 0

    def next_load_ms(self, label: str) -> float:
        """Return the time that the next load of this label takes, in milliseconds."""
        mean_ms = self._label_load_ms.get(label, self._load_ms)
        if not self._sigma or not mean_ms:
            return mean_ms
        return self._random.lognormvariate(math.log(mean_ms) - self._sigma**2 / 2, self._sigma)
