"""The seam between a worker and the runtime into which its labels are loaded."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

Tensors = dict[str, npt.NDArray[np.generic]]
"""Named tensors; text is an array of dtype object that holds bytes."""

LabelsLost = Callable[[frozenset[str]], None]
"""Called in the event loop with labels that are no longer loaded although nobody unloaded them."""


class Runtime(Protocol):
    """Loads, unloads and runs labels. All errors that it raises are `LabelbusError`s.

    The worker never calls `load` for a label that is loaded or being loaded, nor `unload` for one in use.
    """

    name: str
    """Name in the registry: triton, onnx, simulated."""

    def on_labels_lost(self, callback: LabelsLost) -> None:
        """Have `callback` called as soon as loaded labels are found to be gone; `load` loads them again.

        The callback is called before `run` raises the error of the loss. There is one, given before `start`.
        """

    async def start(self) -> None:
        """Make the runtime ready to load labels; `RuntimeUnavailableError` if that fails."""

    async def stop(self) -> None:
        """Free everything; idempotent, and safe after a failed start."""

    async def check(self, label: str) -> None:
        """Raise `UnknownModelError` if there is plainly no such model; called before others are unloaded for it."""

    async def load(self, label: str) -> None:
        """Load a label; `run` works when this returns.

        `UnknownModelError`: there is no such model. `LoadError`: there is one, but it cannot be loaded.
        `RuntimeUnavailableError`: the runtime is away, another worker may do it.
        """

    async def unload(self, label: str) -> None:
        """Unload a label; its memory may be free a little later.

        No error for an unknown label, nor for a runtime that is away, which holds nothing.
        """

    async def run(self, label: str, inputs: Tensors, *, timeout_s: float | None = None) -> Tensors:
        """Run a loaded label on named tensors, first dimension the batch.

        `BadParametersError`: the model refuses the inputs. `WorkerError`: it failed on them.
        `RuntimeUnavailableError`: the runtime or this model's process is away; another `load` repairs that.
        `DeadlineError`: no answer within `timeout_s`.
        """

    async def max_rows(self, label: str) -> int:
        """Return how many rows, of several tasks, a run of a loaded label takes; 0 if they cannot be joined.

        That is so for a model without a batch dimension, and where its configuration cannot be read.
        """
