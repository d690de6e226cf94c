"""`infer`: named tensors in, named tensors out, as the KServe v2 protocol writes them in JSON."""

import math
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import orjson
from msgspec import Meta

from bus.errors import BadParametersError, LabelbusError, WorkerError
from bus.names import model_name
from worker.joined_runs import Inputs, inputs_of, run_joined
from worker.non_finite import has_null
from worker.runtimes.protocol import Tensors
from worker.tasks import TaskContext, task_type

DATATYPES: Final = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
}
"""KServe v2 "Tensor Data Types" that have a numpy counterpart."""

_ACCEPTED: Final[dict[str, set[type]]] = {"b": {bool}, "i": {int}, "u": {int}, "f": {int, float}}
"""JSON types accepted by kind of tensor; numpy itself would turn large unsigned integers into floats."""

_NAMES: Final = {np.dtype(kind): name for name, kind in DATATYPES.items()}


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor; `data` is flat or nested, in row-major order."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]
    shape: Annotated[list[Annotated[int, Meta(ge=0)]], Meta(min_length=1, max_length=8)]
    datatype: str
    data: list[Any]


class RequestedOutput(msgspec.Struct, frozen=True, kw_only=True):
    """An output to return; if none is requested, all are returned."""

    name: str


class Infer(msgspec.Struct, frozen=True, kw_only=True):
    """An inference request."""

    inputs: Annotated[list[Tensor], Meta(min_length=1, max_length=64)]
    outputs: list[RequestedOutput] = []


class Outputs:
    """The outputs of a model for one task, as the task asked for them."""

    __slots__ = ("_label", "_tensors", "_wanted")

    def __init__(self, label: str, tensors: Tensors, task: Infer) -> None:
        self._label = label
        self._tensors = tensors
        self._wanted = [output.name for output in task.outputs] or list(tensors)

    def to_json(self) -> bytes:
        """Return `{"model_name", "outputs": [{"name", "shape", "datatype", "data"}]}`.

        Raises `BadParametersError` for an output that the model has not, `WorkerError` for NaN and infinity.
        """
        tensors = self._tensors
        for name in self._wanted:
            if name not in tensors:
                raise BadParametersError(f"the model has no output {name}; it has {', '.join(sorted(tensors))}")
        outputs = [from_array(name, tensors[name]) for name in self._wanted]
        output = orjson.dumps(
            {"model_name": model_name(self._label), "outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY
        )
        if has_null(output):  # in a text, in a name, or for a number that JSON has not
            _check_finite(self._label, outputs)
        return output


@task_type("infer", passes=True)
async def infer(contexts: list[TaskContext], parameters: list[Infer]) -> list[Outputs | LabelbusError]:
    """Run the label's model on the inputs of each task.

    Tensors of tasks that differ in their first dimension only are joined into one run, up to the rows that the model
    takes at once; the others run one after the other.
    """
    results = await run_joined([_inputs(*task) for task in zip(contexts, parameters, strict=True)])
    return [
        result if isinstance(result, LabelbusError) else Outputs(context.label, result, task)
        for context, task, result in zip(contexts, parameters, results, strict=True)
    ]


def _inputs(context: TaskContext, task: Infer) -> Inputs | BadParametersError:
    try:
        tensors = {tensor.name: to_array(tensor) for tensor in task.inputs}
    except BadParametersError as exc:
        return exc
    if len(tensors) < len(task.inputs):
        return BadParametersError("two inputs have the same name")
    return inputs_of(context, tensors)


def to_array(tensor: Tensor) -> "np.ndarray[Any, np.dtype[Any]]":
    """Return the tensor as an array of its shape and type; `BadParametersError` if its data do not fit them."""
    kind = DATATYPES.get(tensor.datatype)
    if kind is None:
        raise BadParametersError(f"{tensor.name}: datatype {tensor.datatype} is none of {', '.join(DATATYPES)}")
    data: list[Any] = tensor.data
    while data and isinstance(data[0], list):
        if not all(isinstance(row, list) for row in data):
            raise BadParametersError(f"{tensor.name}: data are nested unevenly")
        data = [value for row in data for value in row]
    if len(data) != math.prod(tensor.shape):
        raise BadParametersError(
            f"{tensor.name}: shape {tensor.shape} wants {math.prod(tensor.shape)} values, not {len(data)}"
        )
    if kind is np.object_:
        if not all(isinstance(value, str) for value in data):
            raise BadParametersError(f"{tensor.name}: data of BYTES must be texts")
        return np.array([value.encode() for value in data], dtype=np.object_).reshape(tensor.shape)
    return _numbers(tensor, data, np.dtype(kind)).reshape(tensor.shape)


def _numbers(tensor: Tensor, data: list[Any], dtype: "np.dtype[Any]") -> "np.ndarray[Any, np.dtype[Any]]":
    if not set(map(type, data)) <= _ACCEPTED[dtype.kind]:
        raise BadParametersError(f"{tensor.name}: data are not {tensor.datatype}")
    in_range = not (dtype.kind in "iu" and data) or np.iinfo(dtype).min <= min(data) <= max(data) <= np.iinfo(dtype).max
    try:
        with np.errstate(over="raise"):
            if in_range:
                return np.array(data, dtype)
    except (OverflowError, FloatingPointError):  # an integer, and a float, that is too large for a float of this size
        pass
    raise BadParametersError(f"{tensor.name}: data are out of the range of {tensor.datatype}")


def from_array(name: str, array: "np.ndarray[Any, np.dtype[Any]]") -> dict[str, Any]:
    """Return an array as a KServe v2 tensor with flat data."""
    flat: Any = np.ascontiguousarray(array).reshape(-1)
    datatype = _NAMES.get(array.dtype, "BYTES")
    if datatype == "BYTES":
        flat = [value.decode(errors="replace") if isinstance(value, bytes) else str(value) for value in flat]
    elif datatype == "FP16":
        flat = flat.astype(np.float32)
    return {"name": name, "shape": list(array.shape), "datatype": datatype, "data": flat}


def _check_finite(label: str, outputs: list[dict[str, Any]]) -> None:
    """Raise a `WorkerError` with the path of the first NaN or infinity among the outputs."""
    for index, output in enumerate(outputs):
        data = output["data"]
        if output["datatype"] in ("FP16", "FP32", "FP64") and not (finite := np.isfinite(data)).all():
            place = int(np.argmin(finite))
            raise WorkerError(
                f"{label} computed {data[place]} in its output {output['name']}, at "
                f"`$.outputs[{index}].data[{place}]`, and JSON has no such number"
            )
