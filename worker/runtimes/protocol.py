"""The seam between a worker and what its labels are loaded into."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

Tensors = dict[str, npt.NDArray[np.generic]]
"""Named tensors; text is an array of dtype object that holds bytes."""

LabelsLost = Callable[[frozenset[str]], None]
"""Called in the event loop with labels that are no longer loaded although nobody unloaded them."""


class Runtime(Protocol):
    """Loads, unloads and runs labels. Every error it raises is a `LabelbusError`.

    The worker never calls `load` for a label that is loaded or being loaded, nor `unload` for one in use.
    """

    name: str
    """As it stands in the registry: triton, onnx, simulated."""

    def on_labels_lost(self, callback: LabelsLost) -> None:
        """Have `callback` called as soon as loaded labels are found to be gone; `load` takes them up again.

        It is called before `run` raises the error that goes with it. One callback, given before `start`.
        """

    async def start(self) -> None:
        """Make it ready to load labels; `RuntimeUnavailableError` if it cannot be."""

    async def stop(self) -> None:
        """Give everything back; idempotent, and safe after a failed start."""

    async def check(self, label: str) -> None:
        """Nothing, or `UnknownModelError` if there is plainly no such model: asked before others are unloaded."""

    async def load(self, label: str) -> None:
        """Take a label up; when it returns, `run` works.

        `UnknownModelError`: there is no such model. `LoadError`: there is, but it cannot be loaded.
        `RuntimeUnavailableError`: the runtime is away, another worker may do it.
        """

    async def unload(self, label: str) -> None:
        """Give a label up; its memory may be free a little later.

        Never an error, neither for an unknown label nor for a runtime that is away: that one holds nothing.
        """

    async def run(self, label: str, inputs: Tensors, *, timeout_s: float | None = None) -> Tensors:
        """Run a loaded label on named tensors, first dimension the batch.

        `BadParametersError`: the model refuses the inputs. `WorkerError`: it failed on them.
        `RuntimeUnavailableError`: the runtime or this model's process is away; `load` again mends it.
        `DeadlineError`: no answer within `timeout_s`.
        """
