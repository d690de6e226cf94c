"""Labels without models, whose loads take a given time: for benchmarks of routing."""

import asyncio
import math
import random
from collections.abc import Mapping

from bus.errors import BadParametersError
from worker.runtimes.protocol import LabelsLost, Tensors


class SimulatedRuntime:
    """Loads that only wait, for task handlers that need no model, such as sample_task.

    A load takes `load_ms`, or the time that `label_load_ms` has for its label. With `sigma` above 0 the time of each
    load is drawn from a log-normal distribution with that mean, the same sequence for the same seed.
    """

    name: str = "simulated"

    def __init__(
        self, load_ms: float, *, label_load_ms: Mapping[str, float] | None = None, sigma: float = 0.0, seed: int = 0
    ) -> None:
        self._load_ms = load_ms
        self._label_load_ms = dict(label_load_ms or {})
        self._sigma = sigma
        self._random = random.Random(seed)

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
        """Raise `BadParametersError`: there is no model behind a label."""
        raise BadParametersError(
            f"{label} is held by a simulated runtime, which has no models: send sample_task, or start the worker with "
            "--runtime triton or onnx"
        )

    def next_load_ms(self, label: str) -> float:
        """Return the time that the next load of this label takes, in milliseconds."""
        mean_ms = self._label_load_ms.get(label, self._load_ms)
        if not self._sigma or not mean_ms:
            return mean_ms
        return self._random.lognormvariate(math.log(mean_ms) - self._sigma**2 / 2, self._sigma)
