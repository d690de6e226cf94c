"""A Python-based Triton backend, `onnxruntime`: serves `model.onnx` of any entry that says `backend: "onnxruntime"`.

This backend replaces the official one of that name, which the Triton of the wheel does not have, so that one model
repository serves both. It runs inside Triton's stub process, under the file name and class name that Triton expects,
and imports nothing of labelbus. Of the official backend's parameters it knows `intra_op_thread_count` and
`inter_op_thread_count`; the variable `LABELBUS_ONNX_THREADS` is the default of the first.
"""

import json
import os
import select
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import triton_python_backend_utils as pb_utils
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

Arrays = dict[str, npt.NDArray[Any]]


class TritonPythonModel:
    """One instance of one model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the graph; a fault in it becomes the error of the load."""
        _leave_with(os.getppid())
        config = json.loads(args["model_config"])
        path = (
            Path(args["model_repository"]) / args["model_version"] / (config["default_model_filename"] or "model.onnx")
        )
        self._batches = config["max_batch_size"] > 0
        self._output_types = {
            output["name"]: pb_utils.triton_string_to_numpy(output["data_type"]) for output in config["output"]
        }
        try:
            self._session = ort.InferenceSession(path, _options(config), providers=["CPUExecutionProvider"])
        except Exception as exc:  # onnxruntime has a type of its own for each of its statuses
            raise pb_utils.TritonModelException(f"onnxruntime cannot load {path.name}: {exc}") from exc
        _check_names("input", [i["name"] for i in config["input"]], [i.name for i in self._session.get_inputs()])
        _check_names("output", list(self._output_types), [o.name for o in self._session.get_outputs()])

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Return one response a request, in order; requests whose tensors fit together run as one batch."""
        inputs = [{tensor.name(): tensor.as_numpy() for tensor in request.inputs()} for request in requests]
        wanted = [list(request.requested_output_names()) for request in requests]
        responses: list[Any] = [None] * len(requests)
        for group in self._groups(inputs):
            for index, outcome in zip(group, self._run_group([inputs[i] for i in group]), strict=True):
                responses[index] = self._response(outcome, wanted[index])
        return responses

    def _groups(self, inputs: list[Arrays]) -> list[list[int]]:
        if not self._batches:
            return [[index] for index in range(len(inputs))]
        groups: dict[object, list[int]] = {}
        for index, arrays in enumerate(inputs):
            kind = tuple(sorted((name, array.dtype.str, array.shape[1:]) for name, array in arrays.items()))
            groups.setdefault(kind, []).append(index)
        return list(groups.values())

    def _run_group(self, group: list[Arrays]) -> Iterator[Any]:
        """Return outputs or a TritonError for each member: one that the graph refuses does not fail the others."""
        if len(group) == 1:
            yield self._run(group[0])
            return
        merged = self._run({name: np.concatenate([arrays[name] for arrays in group]) for name in group[0]})
        if isinstance(merged, pb_utils.TritonError):
            yield from map(self._run, group)
            return
        start = 0
        for arrays in group:
            end = start + len(next(iter(arrays.values())))
            yield {name: array[start:end] for name, array in merged.items()}
            start = end

    def _run(self, arrays: Arrays) -> Any:
        names = list(self._output_types)
        try:
            outputs = self._session.run(names, {name: _to_graph(array) for name, array in arrays.items()})
        except InvalidArgument as exc:
            return pb_utils.TritonError(f"onnxruntime: {exc}", pb_utils.TritonError.INVALID_ARG)
        except Exception as exc:  # noqa: BLE001  # any error is this request's answer
            return pb_utils.TritonError(f"onnxruntime: {exc}")
        return dict(zip(names, map(_from_graph, outputs), strict=True))

    def _response(self, outcome: Any, wanted: list[str]) -> Any:
        if isinstance(outcome, pb_utils.TritonError):
            return pb_utils.InferenceResponse(error=outcome)
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor(name, np.ascontiguousarray(array, dtype=self._output_types[name]))
                for name, array in outcome.items()
                if name in wanted
            ]
        )


def _leave_with(server: int) -> None:
    """End this process when the server ends.

    Triton's stub looks for its server every 300 ms, and ends when the server has. But a stub was seen to wait for ever
    on a lock after its server had been stopped and killed, its memory still occupied.
    """

    def wait() -> None:
        select.select([descriptor], [], [])
        os.kill(os.getpid(), signal.SIGKILL)

    descriptor = os.pidfd_open(server)
    threading.Thread(target=wait, name="leave with the server", daemon=True).start()


def _to_graph(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Decode texts, which are bytes in Triton and str in onnxruntime."""
    if array.dtype != np.object_:
        return array
    return np.array([text.decode() for text in array.flat], dtype=np.object_).reshape(array.shape)


def _from_graph(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.dtype != np.object_:
        return array
    return np.array([text.encode() for text in array.flat], dtype=np.object_).reshape(array.shape)


def _options(config: dict[str, Any]) -> ort.SessionOptions:
    parameters = {name: value["string_value"] for name, value in config.get("parameters", {}).items()}
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = int(
        parameters.get("intra_op_thread_count") or os.environ.get("LABELBUS_ONNX_THREADS") or 0
    )
    options.inter_op_num_threads = int(parameters.get("inter_op_thread_count") or 0)
    # Threads that spin while they wait would take cores from the other models of this machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _check_names(kind: str, configured: list[str], in_graph: list[str]) -> None:
    if missing := sorted(set(configured) - set(in_graph)):
        raise pb_utils.TritonModelException(
            f"config.pbtxt names the {kind} {', '.join(missing)}, the graph has {', '.join(in_graph)}"
        )
