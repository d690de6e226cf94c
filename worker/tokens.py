"""Tokenisation in the worker: the graph goes unchanged to any Triton, and no bad token id reaches it."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer
from tritonclient.utils import triton_to_np_dtype

from bus.errors import LoadError
from bus.model_repository import ModelEntry
from worker.runtimes.model_config import read_model_config
from worker.runtimes.protocol import Tensors

INLINE_CHARS: Final = 4_000
"""Up to so many characters are tokenised in the event loop, which takes 1 ms; more in a thread, without the GIL."""

_PARTS: Final[dict[str, Callable[[Encoding], list[int]]]] = {
    "input_ids": lambda encoding: encoding.ids,
    "attention_mask": lambda encoding: encoding.attention_mask,
    "token_type_ids": lambda encoding: encoding.type_ids,
}


class TokenBatch(msgspec.Struct, frozen=True, kw_only=True):
    """One batch for the model: tensors [rows, tokens], padded to the longest text in it."""

    inputs: Tensors
    rows: tuple[int, ...]
    """Positions of the batch's texts among all texts."""


class _Loaded(msgspec.Struct, frozen=True, kw_only=True):
    tokenizer: Any
    max_batch_size: int
    inputs: tuple[tuple[str, Any], ...]
    """Names and numpy types of the graph's inputs."""


class Tokens:
    """The tokenizers of a model repository; the `held` last used are kept (MiniLM's takes 15 ms and about 10 MB)."""

    def __init__(self, repository: Path, *, held: int = 32) -> None:
        self._repository = repository
        self._limit = held
        self._held: OrderedDict[str, _Loaded] = OrderedDict()

    async def load(self, label: str) -> None:
        """Read the label's tokenizer again, as its model is loaded: both are of one conversion.

        Raises `UnknownModelError` if there is no entry, `LoadError` if it cannot be read.
        """
        self._held[label] = await asyncio.to_thread(_read, ModelEntry(self._repository, label))
        self._held.move_to_end(label)
        while len(self._held) > self._limit:
            self._held.popitem(last=False)

    def forget(self, label: str) -> None:
        """Drop the label's tokenizer; unknown labels are no error."""
        self._held.pop(label, None)

    async def encode(self, label: str, texts: Sequence[str]) -> list[TokenBatch]:
        """Return the texts in batches of at most the model's `max_batch_size`, each truncated at the model's length.

        Texts of similar length share a batch, so that little is padded; `in_order` restores their order. A tokenizer
        that is not held is loaded first, with the errors of `load`.
        """
        if label not in self._held:
            await self.load(label)
        loaded = self._held[label]
        self._held.move_to_end(label)
        if sum(map(len, texts)) <= INLINE_CHARS:
            return _encode(loaded, texts)
        return await asyncio.to_thread(_encode, loaded, texts)


def in_order(batches: Sequence[TokenBatch], outputs: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return the rows of all outputs in the order of the texts; there is at least one batch."""
    joined = np.concatenate(outputs)
    ordered: npt.NDArray[Any] = np.empty_like(joined)
    ordered[[row for batch in batches for row in batch.rows]] = joined
    return ordered


def _encode(loaded: _Loaded, texts: Sequence[str]) -> list[TokenBatch]:
    rows = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    parts = (rows[start : start + loaded.max_batch_size] for start in range(0, len(rows), loaded.max_batch_size))
    return [_batch(loaded, texts, tuple(part)) for part in parts]


def _batch(loaded: _Loaded, texts: Sequence[str], rows: tuple[int, ...]) -> TokenBatch:
    encodings = loaded.tokenizer.encode_batch_fast([texts[row] for row in rows])
    inputs = {
        name: np.array([_PARTS[name](encoding) for encoding in encodings], dtype) for name, dtype in loaded.inputs
    }
    return TokenBatch(inputs=inputs, rows=rows)


def _read(entry: ModelEntry) -> _Loaded:
    info = entry.read_info()
    config = read_model_config(entry)
    try:
        tokenizer = Tokenizer.from_file(str(entry.tokenizer))
    except Exception as exc:  # the library raises bare Exceptions
        raise LoadError(f"{entry.tokenizer} cannot be read ({exc}): convert {entry.label} again") from exc
    if (tokenizer.truncation or {}).get("max_length") != info.max_seq_length:
        tokenizer.enable_truncation(info.max_seq_length)
    if tokenizer.padding is None or tokenizer.padding["length"] is not None:
        tokenizer.enable_padding()
    if unknown := [spec.name for spec in config.inputs if spec.name not in _PARTS]:
        raise LoadError(f"{entry.label} takes the inputs {', '.join(unknown)}, which tokenizers do not make: use infer")
    return _Loaded(
        tokenizer=tokenizer,
        max_batch_size=config.max_batch_size or info.max_batch_size,
        inputs=tuple((spec.name, triton_to_np_dtype(spec.dtype)) for spec in config.inputs),
    )
