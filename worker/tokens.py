"""Tokenisation in the worker: the graph goes unchanged to any Triton, and no bad token id reaches it."""

import asyncio
import math
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
from bus.pass_times import PassTimes, PooledShare
from worker.runtimes.model_config import read_model_config
from worker.runtimes.protocol import Tensors
from worker.text_batches import BatchLimits, cut

INLINE_CHARS: Final = 4_000
"""Up to so many characters are tokenised in the event loop, which takes 1 ms; more in a thread, without the GIL."""

MAX_TOKENS: Final = 16_384
"""Default limit of a batch in padded tokens: `--max-batch-tokens` of text-embeddings-inference."""

RUN_TOKENS: Final = 32.0
"""Fixed time of a run, in tokens, before the first runs have told: a small CPU has 10 to 30, a GPU hundreds or more.
A small number makes batches of several lengths, from which the true one is learned at once."""

_TIMES_HELD: Final = 1_000
"""Labels whose run times are remembered, loaded or not: more than a worker holds."""


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
    padded_tokens: int = 0
    """Tokens that the model runs on: longest × rows."""


class _Padding(msgspec.Struct, frozen=True, kw_only=True):
    left: bool
    multiple_of: int

    def length(self, tokens: int) -> int:
        """Return the padded length of a batch whose longest text has so many tokens."""
        return -(-tokens // self.multiple_of) * self.multiple_of


class _Input(msgspec.Struct, frozen=True, kw_only=True):
    """One input of the graph."""

    name: str
    dtype: Any
    values: Callable[[Encoding], list[int]]
    pad: int


class _Loaded(msgspec.Struct, frozen=True, kw_only=True):
    tokenizer: Any
    max_batch_size: int
    inputs: tuple[_Input, ...]
    padding: _Padding


class Tokens:
    """The tokenizers of a model repository; the `held` last used are kept (MiniLM's takes 15 ms and about 10 MB).

    Batches have at most `max_tokens` padded tokens, or one text.
    """

    def __init__(self, repository: Path, *, held: int = 32, max_tokens: int = MAX_TOKENS) -> None:
        self._repository = repository
        self._limit = held
        self._max_tokens = max_tokens
        self._held: OrderedDict[str, _Loaded] = OrderedDict()
        self._times: OrderedDict[str, PassTimes] = OrderedDict()
        self._pool = PooledShare()

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
        """Return the texts in batches, each text truncated at the model's length; `in_order` restores their order.

        Batches have texts of similar length, at most the model's `max_batch_size` of them and `max_tokens` padded
        tokens, and are cut so that padding and further runs together take the least time, as `observe` was told it.
        A tokenizer that is not held is loaded first, with the errors of `load`.
        """
        if label not in self._held:
            await self.load(label)
        loaded = self._held[label]
        self._held.move_to_end(label)
        limits = BatchLimits(rows=loaded.max_batch_size, tokens=self._max_tokens)
        run_tokens = self._run_tokens(label)
        if sum(map(len, texts)) <= INLINE_CHARS:
            return _encode(loaded, texts, limits, run_tokens)
        return await asyncio.to_thread(_encode, loaded, texts, limits, run_tokens)

    def observe(self, label: str, batch: TokenBatch, seconds: float) -> None:
        """Learn how long runs of the label take from one on this batch."""
        if batch.padded_tokens < 1:
            return
        times = self._times.get(label)
        if times is None:
            times = self._times[label] = PassTimes(self._pool, relative=True)
            if len(self._times) > _TIMES_HELD:
                self._times.popitem(last=False)
        times.observe(batch.padded_tokens, seconds)

    def _run_tokens(self, label: str) -> float:
        """Return the fixed time of a run of the label as the number of tokens that take as long."""
        times = self._times.get(label)
        if times is not None:
            self._times.move_to_end(label)
        share = self._pool.mean if times is None else times.fixed_share
        if math.isnan(share):
            return RUN_TOKENS
        return min(share / (1.0 - share), self._max_tokens) if share < 1.0 else self._max_tokens


def in_order(batches: Sequence[TokenBatch], outputs: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return the rows of all outputs in the order of the texts; there is at least one batch."""
    joined = outputs[0] if len(outputs) == 1 else np.concatenate(outputs)
    ordered: npt.NDArray[Any] = np.empty_like(joined)
    ordered[[row for batch in batches for row in batch.rows]] = joined
    return ordered


def _encode(loaded: _Loaded, texts: Sequence[str], limits: BatchLimits, run_tokens: float) -> list[TokenBatch]:
    encodings = loaded.tokenizer.encode_batch_fast(texts)
    counts = [len(encoding) for encoding in encodings]
    order = sorted(range(len(counts)), key=counts.__getitem__)
    lengths = [loaded.padding.length(counts[row]) for row in order]
    return [
        _batch(loaded, encodings, tuple(order[part.start : part.stop]), lengths[part.stop - 1])
        for part in cut(lengths, limits, run_tokens=run_tokens)
    ]


def _batch(loaded: _Loaded, encodings: Sequence[Encoding], rows: tuple[int, ...], length: int) -> TokenBatch:
    inputs = {
        each.name: _padded([each.values(encodings[row]) for row in rows], length, each, left=loaded.padding.left)
        for each in loaded.inputs
    }
    return TokenBatch(inputs=inputs, rows=rows, padded_tokens=length * len(rows))


def _padded(values: Sequence[list[int]], length: int, to: _Input, *, left: bool) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.full((len(values), length), to.pad, to.dtype)
    for row, of_text in zip(array, values, strict=True):
        if left:
            row[length - len(of_text) :] = of_text
        else:
            row[: len(of_text)] = of_text
    return array


def _read(entry: ModelEntry) -> _Loaded:
    info = entry.read_info()
    config = read_model_config(entry)
    try:
        tokenizer = Tokenizer.from_file(str(entry.tokenizer))
    except Exception as exc:  # the library raises bare Exceptions
        raise LoadError(f"{entry.tokenizer} cannot be read ({exc}): convert {entry.label} again") from exc
    if (tokenizer.truncation or {}).get("max_length") != info.max_seq_length:
        tokenizer.enable_truncation(info.max_seq_length)
    padding = tokenizer.padding or {}
    tokenizer.no_padding()  # batches are cut by the lengths, and then padded here
    if unknown := [spec.name for spec in config.inputs if spec.name not in _PARTS]:
        raise LoadError(f"{entry.label} takes the inputs {', '.join(unknown)}, which tokenizers do not make: use infer")
    pads = {"input_ids": padding.get("pad_id", 0), "token_type_ids": padding.get("pad_type_id", 0)}
    return _Loaded(
        tokenizer=tokenizer,
        max_batch_size=config.max_batch_size or info.max_batch_size,
        inputs=tuple(
            _Input(
                name=spec.name,
                dtype=triton_to_np_dtype(spec.dtype),
                values=_PARTS[spec.name],
                pad=pads.get(spec.name, 0),
            )
            for spec in config.inputs
        ),
        padding=_Padding(left=padding.get("direction") == "left", multiple_of=padding.get("pad_to_multiple_of") or 1),
    )
