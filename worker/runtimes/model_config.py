"""The tensors that an entry's config.pbtxt declares, and the check of inputs against them."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import msgspec
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import np_to_triton_dtype

from bus.errors import BadParametersError, LoadError, UnknownModelError
from bus.model_repository import ModelEntry
from worker.runtimes.protocol import Tensors


class TensorSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor. `dtype` is Triton's name of its type (INT64, FP32, BYTES); -1 in `dims` is any length."""

    name: str
    dtype: str
    dims: tuple[int, ...]


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A model's tensors; with `max_batch_size` above 0 a batch dimension comes before those in `dims`."""

    max_batch_size: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def read_model_config(entry: ModelEntry) -> ModelConfig:
    """Read the entry's configuration; `UnknownModelError` if there is no entry, `LoadError` if it cannot be read."""
    try:
        message = text_format.Parse(entry.config.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except FileNotFoundError as exc:
        raise UnknownModelError(f"no model {entry.label} in the model repository: {entry.config} is missing") from exc
    except (OSError, UnicodeDecodeError, text_format.ParseError) as exc:
        raise LoadError(f"{entry.config} cannot be read ({exc}): convert {entry.label} again") from exc
    return ModelConfig(
        max_batch_size=message.max_batch_size,
        inputs=tuple(_specs(message.input)),
        outputs=tuple(_specs(message.output)),
    )


class RowLimits:
    """The `max_batch_size` of the entries of a repository, each read once after a load; 0 where it cannot be read."""

    def __init__(self, repository: Path | None) -> None:
        self._repository = repository
        self._known: dict[str, int] = {}

    async def max_rows(self, label: str) -> int:
        """Return the label's `max_batch_size`."""
        found = self._known.get(label)
        if found is None:
            found = self._known[label] = await asyncio.to_thread(self._read, label)
        return found

    def forget(self, label: str) -> None:
        """Have the label's entry read again, since its model is loaded or unloaded."""
        self._known.pop(label, None)

    def _read(self, label: str) -> int:
        if self._repository is None:
            return 0
        try:
            return read_model_config(ModelEntry(self._repository, label)).max_batch_size
        except (LoadError, UnknownModelError):  # of a Triton with a repository of its own
            return 0


def check_inputs(config: ModelConfig, inputs: Tensors) -> None:
    """Raise `BadParametersError` for inputs that Triton would refuse: names, types, shapes, the size of the batch."""
    expected = {spec.name: spec for spec in config.inputs}
    if inputs.keys() != expected.keys():
        raise BadParametersError(f"the model takes the inputs {_listed(expected)}, not {_listed(inputs)}")
    for name, array in inputs.items():
        spec = expected[name]
        dtype = np_to_triton_dtype(array.dtype)
        if dtype != spec.dtype:
            raise BadParametersError(f"input {name} is {spec.dtype}, not {dtype or array.dtype}")
        dims = (-1, *spec.dims) if config.max_batch_size else spec.dims
        if len(array.shape) != len(dims) or any(d not in (-1, n) for d, n in zip(dims, array.shape, strict=True)):
            raise BadParametersError(f"input {name} has the shape {list(dims)}, not {list(array.shape)}")
    if config.max_batch_size:
        sizes = {array.shape[0] for array in inputs.values()}
        if len(sizes) != 1 or not 0 < min(sizes) <= config.max_batch_size:
            raise BadParametersError(
                f"a batch has 1 to {config.max_batch_size} rows, the same in every input, not {sorted(sizes)}"
            )


def _specs(tensors: Iterable[model_config_pb2.ModelInput | model_config_pb2.ModelOutput]) -> Iterable[TensorSpec]:
    for tensor in tensors:
        name = model_config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_")
        yield TensorSpec(name=tensor.name, dtype="BYTES" if name == "STRING" else name, dims=tuple(tensor.dims))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
