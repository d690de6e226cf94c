"""Labels as sessions of ONNX Runtime in this process: for machines without a Triton."""

import asyncio
import functools
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from bus.errors import BadParametersError, DeadlineError, LoadError, RuntimeUnavailableError, WorkerError
from bus.model_repository import ModelEntry
from worker.runtimes.model_config import ModelConfig, check_inputs, read_model_config
from worker.runtimes.protocol import LabelsLost, Tensors

_AT_ONCE: Final = 8
"""Loads and runs at the same time; ONNX Runtime releases the GIL while it works."""


class _Model(msgspec.Struct, frozen=True, kw_only=True):
    config: ModelConfig
    session: Any


class OnnxRuntime:
    """Runs entries of the model repository in threads, with the same tensors and errors as Triton.

    `threads` is for one run of one model; 0 leaves it to ONNX Runtime, which uses one per core.
    """

    name: str = "onnx"

    def __init__(self, repository: Path, *, threads: int = 0) -> None:
        self._repository = repository
        self._threads = threads
        self._models: dict[str, _Model] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._ort: Any = None

    def on_labels_lost(self, callback: LabelsLost) -> None:
        """See `Runtime`. Never called: labels live as long as this process."""

    async def start(self) -> None:
        """Import the library and make the threads; `RuntimeUnavailableError` if the library is not installed."""
        try:
            self._ort = await asyncio.to_thread(_onnxruntime)
        except ModuleNotFoundError as exc:
            raise RuntimeUnavailableError(f"{exc.name} is not installed: pip install 'labelbus[onnx]'") from exc
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="onnx")

    async def stop(self) -> None:
        """Wait for the runs and loads under way, and free every model."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)
        self._models.clear()

    async def check(self, label: str) -> None:
        """See `Runtime`."""
        ModelEntry(self._repository, label).check()

    async def load(self, label: str) -> None:
        """See `Runtime`."""
        entry = ModelEntry(self._repository, label)
        self._models[label] = await self._in_thread(_open, self._ort, entry, self._threads)

    async def unload(self, label: str) -> None:
        """See `Runtime`."""
        self._models.pop(label, None)

    async def run(self, label: str, inputs: Tensors, *, timeout_s: float | None = None) -> Tensors:
        """See `Runtime`. After a `DeadlineError` the thread still works on the batch for a while."""
        model = self._models.get(label)
        if model is None:
            raise RuntimeUnavailableError(f"{label} is not loaded")
        check_inputs(model.config, inputs)
        try:
            async with asyncio.timeout(timeout_s):
                outputs: Tensors = await self._in_thread(_run, self._ort, label, model, inputs)
        except TimeoutError as exc:
            raise DeadlineError(f"{label} gave no answer in time") from exc
        return outputs

    async def max_rows(self, label: str) -> int:
        """See `Runtime`."""
        model = self._models.get(label)
        return 0 if model is None else model.config.max_batch_size

    async def _in_thread(self, function: Any, *args: Any) -> Any:
        if self._pool is None:
            raise RuntimeUnavailableError("the ONNX runtime is not started")
        return await asyncio.get_running_loop().run_in_executor(self._pool, functools.partial(function, *args))


def _onnxruntime() -> Any:
    """Import the library, 50 MB that other runtimes do without, with its telemetry off: it begins with the import."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def _open(ort: Any, entry: ModelEntry, threads: int) -> _Model:
    config = read_model_config(entry)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # as in the backend for Triton
    try:
        session = ort.InferenceSession(entry.graph, options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # onnxruntime has a type of its own for each of its statuses
        raise LoadError(f"onnxruntime cannot load {entry.label}: {exc}") from exc
    for kind, specs, in_graph in (
        ("input", config.inputs, session.get_inputs()),
        ("output", config.outputs, session.get_outputs()),
    ):
        if missing := {spec.name for spec in specs} - {tensor.name for tensor in in_graph}:
            raise LoadError(
                f"{entry.label}: config.pbtxt names the {kind} {', '.join(sorted(missing))}, which the graph lacks"
            )
    return _Model(config=config, session=session)


def _run(ort: Any, label: str, model: _Model, inputs: Tensors) -> Tensors:
    names = [spec.name for spec in model.config.outputs]
    try:
        outputs = model.session.run(names, {name: _to_graph(array) for name, array in inputs.items()})
    except ort.capi.onnxruntime_pybind11_state.InvalidArgument as exc:
        raise BadParametersError(f"{label} refuses the inputs: {exc}") from exc
    except Exception as exc:  # see _open
        raise WorkerError(f"{label} failed: {exc}") from exc
    return {name: _from_graph(array) for name, array in zip(names, outputs, strict=True)}


def _to_graph(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Decode texts, which are bytes on the wire and str in onnxruntime."""
    if array.dtype.kind not in "OS":
        return array
    texts = [text.decode() if isinstance(text, bytes) else str(text) for text in array.flat]
    return np.array(texts, dtype=np.object_).reshape(array.shape)


def _from_graph(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if array.dtype != np.object_:
        return array
    return np.array([text.encode() for text in array.flat], dtype=np.object_).reshape(array.shape)
