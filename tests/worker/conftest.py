"""Running workers, and entries of a model repository made with `onnx.helper`: real graphs, no torch."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
import pytest
from loguru import logger
from onnx import TensorProto, helper, numpy_helper

from bus.connection import Bus, connect
from bus.model_repository import ModelEntry, ModelInfo
from bus.settings import BusSettings
from tests.worker.serving import MakeWorker, Worker
from worker.local_triton.files import LocalTritonFiles, find_local_triton
from worker.settings import WorkerSettings

Array = npt.NDArray[Any]

DIM = 4
VOCABULARY = 50
MAX_BATCH_SIZE = 8
TABLE = np.random.default_rng(1).normal(size=(VOCABULARY, DIM)).astype(np.float32)

EMBEDDING_CONFIG = """
backend: "onnxruntime"
max_batch_size: {max_batch_size}
input [
  {{ name: "input_ids" data_type: TYPE_INT64 dims: [ -1 ] }},
  {{ name: "attention_mask" data_type: TYPE_INT64 dims: [ -1 ] }}
]
output [ {{ name: "sentence_embedding" data_type: TYPE_FP32 dims: [ {dim} ] }} ]
dynamic_batching {{ max_queue_delay_microseconds: 2000 }}
instance_group [ {{ count: 1 kind: KIND_AUTO }} ]
"""

TEXT_CONFIG = """
backend: "onnxruntime"
max_batch_size: 8
input [ { name: "text" data_type: TYPE_STRING dims: [ -1 ] } ]
output [ { name: "same" data_type: TYPE_STRING dims: [ -1 ] } ]
instance_group [ { count: 1 } ]
"""


def embedding_graph() -> bytes:
    """The mean of the rows of TABLE that `input_ids` name, over the tokens that `attention_mask` lets through."""
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["weights"]),
        helper.make_node("Mul", ["rows", "weights"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "second"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["weights", "second"], ["count"], keepdims=0),
        helper.make_node("Div", ["sum", "count"], ["sentence_embedding"]),
    ]
    return _model(
        nodes,
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", DIM])],
        {"table": TABLE, "last": np.array([-1]), "second": np.array([1])},
    )


def text_graph() -> bytes:
    """Text in, the same text out."""
    return _model(
        [helper.make_node("Identity", ["text"], ["same"])],
        [helper.make_tensor_value_info("text", TensorProto.STRING, ["batch", "n"])],
        [helper.make_tensor_value_info("same", TensorProto.STRING, ["batch", "n"])],
        {},
    )


def mean_of_rows(input_ids: Array, attention_mask: Array) -> Array:
    weights = attention_mask[..., None].astype(np.float32)
    embedding: Array = (TABLE[input_ids] * weights).sum(axis=1) / weights.sum(axis=1)
    return embedding


def _model(nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: dict[str, Array]) -> bytes:
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


WriteEntry = Callable[..., ModelEntry]


@pytest.fixture
def write_entry(tmp_path: Path) -> WriteEntry:
    """Writes a whole entry of the repository `tmp_path / "models"`; parts of it can be given otherwise."""
    root = tmp_path / "models"
    root.mkdir()

    def write(label: str, *, graph: bytes | None = None, config: str | None = None, **info: object) -> ModelEntry:
        entry = ModelEntry(root, label)
        entry.graph.parent.mkdir(parents=True)
        entry.graph.write_bytes(embedding_graph() if graph is None else graph)
        entry.config.write_text(
            EMBEDDING_CONFIG.format(dim=DIM, max_batch_size=MAX_BATCH_SIZE) if config is None else config
        )
        values = {
            "model_id": label,
            "model_name": entry.folder.name,
            "dim": DIM,
            "max_seq_length": 16,
            "max_batch_size": MAX_BATCH_SIZE,
            "labelbus_version": "0",
            "created": "2026-01-01T00:00:00Z",
            "cosine": 1.0,
        }
        entry.info_file.write_bytes(msgspec.json.encode(msgspec.convert(values | info, ModelInfo)))
        return entry

    return write


@pytest.fixture
def repository(write_entry: WriteEntry, tmp_path: Path) -> Path:
    """A repository with the embedding graph as org/one and org/two."""
    write_entry("org/one")
    write_entry("org/two")
    return tmp_path / "models"


@pytest.fixture
def triton_files() -> LocalTritonFiles:
    """The Triton of the wheel; the test is skipped with the reason where there is none."""
    found = find_local_triton()
    if not isinstance(found, LocalTritonFiles):
        pytest.skip(found.reason)
    return found


@pytest.fixture
def embed() -> Callable[[Array, Array], Array]:
    """Return what the embedding graph computes of input_ids and attention_mask, in numpy."""
    return mean_of_rows


@pytest.fixture
def text_entry() -> dict[str, Any]:
    """For `write_entry`: a graph that gives back the text it gets."""
    return {"graph": text_graph(), "config": TEXT_CONFIG}


@pytest.fixture
def wrong_output_config() -> str:
    """For `write_entry`: a configuration with an output that the embedding graph has not."""
    return EMBEDDING_CONFIG.format(dim=DIM, max_batch_size=MAX_BATCH_SIZE).replace("sentence_embedding", "other")


@pytest.fixture
async def make_worker(bus: Bus, settings: BusSettings) -> AsyncIterator[MakeWorker]:
    async with contextlib.AsyncExitStack() as stack:

        async def make(**fields: Any) -> Worker:
            own = await stack.enter_async_context(connect(settings, name="worker"))
            asked = {**msgspec.structs.asdict(settings), "worker_id": "w", "heartbeat_s": 60.0, **fields}
            worker = Worker(bus, own, WorkerSettings(**asked))
            await worker.start()
            stack.push_async_callback(worker.stop)
            return worker

        yield make


@pytest.fixture
async def worker(make_worker: MakeWorker) -> Worker:
    made: Worker = await make_worker()
    return made


class Logged:
    """The fields of the records that were logged, by event."""

    def __init__(self) -> None:
        self._records: list[tuple[str, dict[str, Any]]] = []

    def sink(self, message: Any) -> None:
        self._records.append((message.record["message"], dict(message.record["extra"])))

    def of(self, event: str) -> list[dict[str, Any]]:
        return [fields for logged, fields in self._records if logged == event]

    async def has(self, event: str) -> bool:
        return bool(self.of(event))


@pytest.fixture
def logged() -> Iterator[Logged]:
    made = Logged()
    sink = logger.add(made.sink, level="DEBUG")
    yield made
    logger.remove(sink)
