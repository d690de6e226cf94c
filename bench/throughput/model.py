"""The tokenizer and the graph of a label, used directly, with nothing around them."""

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from tokenizers import Tokenizer

from bench.http_load import STOP_S
from bus.model_repository import ModelEntry

Arrays = dict[str, npt.NDArray[np.int64]]

SORTED_ROWS: Final = 8
"""Texts in a batch when they are sorted by length: few, so that next to nothing is padded."""


class TextsLeg(Struct, frozen=True, kw_only=True):
    """A load of `clients`, each with one task at a time, for `seconds`; `tasks` are sent in turn, over and over."""

    tasks: tuple[tuple[str, ...], ...]
    clients: int
    seconds: float
    stop_s: float = STOP_S


class TextTokenizer:
    """The label's tokenizer, which pads to the longest text of a batch."""

    def __init__(self, entry: ModelEntry) -> None:
        self._tokenizer = Tokenizer.from_file(str(entry.tokenizer))
        self._tokenizer.enable_truncation(entry.read_info().max_seq_length)
        self._tokenizer.enable_padding()

    def batch(self, texts: Sequence[str]) -> Arrays:
        """Return the inputs of the graph: [texts, tokens]."""
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        return {
            "input_ids": np.array([encoding.ids for encoding in encodings], np.int64),
            "attention_mask": np.array([encoding.attention_mask for encoding in encodings], np.int64),
        }

    def in_batches(self, texts: Sequence[str], max_rows: int, *, by_length: bool) -> list[Arrays]:
        """Return the inputs of batches of at most so many texts, as they come or sorted by length."""
        if by_length and len(texts) > 1:
            texts = sorted(texts, key=len)
            max_rows = SORTED_ROWS
        return [self.batch(texts[start : start + max_rows]) for start in range(0, len(texts), max_rows)]


class Graph:
    """The label's graph in this process; one run at a time, with the threads and options of the worker's Triton."""

    def __init__(self, entry: ModelEntry, threads: int) -> None:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session: Any = onnxruntime.InferenceSession(entry.graph, options, providers=["CPUExecutionProvider"])
        self._lock = threading.Lock()

    def run(self, inputs: Arrays) -> npt.NDArray[np.float32]:
        """Return the embeddings: [texts, dimensions]."""
        with self._lock:
            outputs: npt.NDArray[np.float32] = self._session.run(None, inputs)[0]
        return outputs


def entry_of(repository: str, label: str) -> ModelEntry:
    """Return the entry of the label."""
    return ModelEntry(Path(repository), label)
