import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from bus.errors import LoadError, UnknownModelError
from bus.model_repository import ModelEntry
from worker.tokens import INLINE_CHARS, TokenBatch, Tokens, in_order

WORDS = ["[PAD]", "[UNK]", "one", "two", "three"]


def write_tokenizer(entry: ModelEntry, *, words: list[str] = WORDS, published: bool = True) -> None:
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    if published:
        tokenizer.enable_truncation(4)
        tokenizer.enable_padding(pad_id=0, pad_token="[PAD]")
    tokenizer.save(str(entry.tokenizer))


@pytest.fixture
def entry(write_entry: Callable[..., ModelEntry]) -> ModelEntry:
    entry = write_entry("org/one", max_seq_length=4)
    write_tokenizer(entry)
    return entry


@pytest.fixture
def tokens(entry: ModelEntry) -> Tokens:
    return Tokens(entry.root)


def ids(batches: list[TokenBatch]) -> list[list[list[int]]]:
    return [batch.inputs["input_ids"].tolist() for batch in batches]


async def test_texts_are_padded_to_the_longest_and_truncated_at_the_models_length(tokens: Tokens) -> None:
    [batch] = await tokens.encode("org/one", ["one two", "", "three three three three three three"])

    assert batch.rows == (1, 0, 2)
    assert batch.inputs.keys() == {"input_ids", "attention_mask"}
    assert {array.dtype for array in batch.inputs.values()} == {np.dtype(np.int64)}
    assert batch.inputs["input_ids"].tolist() == [[0, 0, 0, 0], [2, 3, 0, 0], [4, 4, 4, 4]]
    assert batch.inputs["attention_mask"].tolist() == [[0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]]


async def test_a_tokenizer_that_says_nothing_of_lengths_is_told(tokens: Tokens, entry: ModelEntry) -> None:
    write_tokenizer(entry, published=False)

    assert ids(await tokens.encode("org/one", ["one", "two " * 9])) == [[[2, 0, 0, 0], [3, 3, 3, 3]]]


async def test_no_batch_is_over_the_models_maximum(tokens: Tokens) -> None:
    batches = await tokens.encode("org/one", ["one"] * 19)

    assert [len(batch.rows) for batch in batches] == [8, 8, 3]


async def test_no_texts_are_no_batches(tokens: Tokens) -> None:
    assert await tokens.encode("org/one", []) == []


async def test_texts_of_like_length_go_together(tokens: Tokens) -> None:
    batches = await tokens.encode("org/one", ["one two three", "one"] * 8)

    assert [batch.inputs["input_ids"].shape for batch in batches] == [(8, 1), (8, 3)]


async def test_many_characters_give_the_same_as_few(tokens: Tokens) -> None:
    text = "two " * INLINE_CHARS

    assert ids(await tokens.encode("org/one", [text])) == [[[3, 3, 3, 3]]]


async def test_no_batch_is_over_the_token_budget_but_a_text_alone(entry: ModelEntry) -> None:
    tokens = Tokens(entry.root, max_tokens=6)

    batches = await tokens.encode("org/one", ["one", "one two three", "two three"] * 3)

    assert [(batch.inputs["input_ids"].shape, batch.padded_tokens) for batch in batches] == [
        *[((3, 1), 3), ((3, 2), 6)],
        *[((2, 3), 6), ((1, 3), 3)],
    ]
    assert sorted(row for batch in batches for row in batch.rows) == list(range(9))
    tokens = Tokens(entry.root, max_tokens=2)
    assert [len(batch.rows) for batch in await tokens.encode("org/one", ["one two three"] * 2)] == [1, 1]


async def test_batches_are_cut_by_what_a_run_was_seen_to_cost(tokens: Tokens) -> None:
    texts = ["one two three two", "one"] * 2
    [first] = await tokens.encode("org/one", texts)  # nothing is known
    single = TokenBatch(inputs={}, rows=(0,), padded_tokens=1)

    for _ in range(3):  # a run costs nothing, a token a second
        tokens.observe("org/one", first, float(first.padded_tokens))
        tokens.observe("org/one", single, 1.0)
    assert [batch.rows for batch in await tokens.encode("org/one", texts)] == [(1, 3), (0, 2)]

    for _ in range(300):  # a run costs 100 s
        tokens.observe("org/one", first, 100.0 + first.padded_tokens)
        tokens.observe("org/one", single, 101.0)
    assert [batch.rows for batch in await tokens.encode("org/one", texts)] == [(1, 3, 0, 2)]


async def test_a_label_that_has_not_run_is_cut_as_the_others_are(tokens: Tokens) -> None:
    for size in (1, 4, 1, 4):
        tokens.observe("org/two", TokenBatch(inputs={}, rows=(0,), padded_tokens=size), float(size))

    assert len(await tokens.encode("org/one", ["one two three two", "one"])) == 2


@pytest.mark.parametrize(
    ("padding", "padded"),
    [
        ({"pad_id": 7}, [[2, 7], [2, 3]]),
        ({"pad_id": 7, "direction": "left"}, [[7, 2], [2, 3]]),
        ({"pad_to_multiple_of": 3}, [[2, 0, 0], [2, 3, 0]]),
        ({"length": 9}, [[2, 0], [2, 3]]),
    ],
    ids=["id", "left", "multiple", "fixed length"],
)
async def test_texts_are_padded_as_the_tokenizer_says_but_no_further_than_a_batch_needs(
    tokens: Tokens, entry: ModelEntry, padding: dict[str, Any], padded: list[list[int]]
) -> None:
    tokenizer = Tokenizer.from_file(str(entry.tokenizer))
    tokenizer.enable_padding(**padding)
    tokenizer.save(str(entry.tokenizer))

    [batch] = await tokens.encode("org/one", ["one", "one two"])

    assert batch.inputs["input_ids"].tolist() == padded
    assert batch.padded_tokens == len(padded) * len(padded[0])
    tokenizer.enable_truncation(4)
    as_the_library = [encoding.attention_mask for encoding in tokenizer.encode_batch(["one", "one two"])]
    if "length" not in padding:
        assert batch.inputs["attention_mask"].tolist() == as_the_library


async def test_a_graph_gets_the_tensors_that_its_configuration_names(tokens: Tokens, entry: ModelEntry) -> None:
    config = entry.config.read_text().replace(
        "input [", 'input [ { name: "token_type_ids" data_type: TYPE_INT32 dims: [ -1 ] },'
    )
    entry.config.write_text(config)

    [batch] = await tokens.encode("org/one", ["one two"])

    assert batch.inputs.keys() == {"input_ids", "attention_mask", "token_type_ids"}
    assert batch.inputs["token_type_ids"].tolist() == [[0, 0]]
    assert batch.inputs["token_type_ids"].dtype == np.int32


async def test_a_graph_that_takes_no_tokens_says_so(
    write_entry: Callable[..., ModelEntry], text_entry: dict[str, Any]
) -> None:
    entry = write_entry("text", **text_entry)
    write_tokenizer(entry)

    with pytest.raises(LoadError, match="infer"):
        await Tokens(entry.root).load("text")


async def test_a_label_without_an_entry_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError):
        await Tokens(tmp_path).encode("org/none", ["one"])


@pytest.mark.parametrize("content", [None, "{}", "not JSON"])
async def test_a_tokenizer_that_cannot_be_read_fails_to_load(
    tokens: Tokens, entry: ModelEntry, content: str | None
) -> None:
    entry.tokenizer.unlink()
    if content is not None:
        entry.tokenizer.write_text(content)

    with pytest.raises(LoadError, match="convert org/one again"):
        await tokens.encode("org/one", ["one"])


async def test_a_tokenizer_is_read_again_with_a_load_and_not_before(tokens: Tokens, entry: ModelEntry) -> None:
    await tokens.load("org/one")
    write_tokenizer(entry, words=["[PAD]", "[UNK]", "two", "one"])
    assert ids(await tokens.encode("org/one", ["one"])) == [[[2]]]

    await tokens.load("org/one")

    assert ids(await tokens.encode("org/one", ["one"])) == [[[3]]]


async def test_the_one_used_longest_ago_makes_room(write_entry: Callable[..., ModelEntry]) -> None:
    entries = [write_entry(label) for label in ("a", "b", "c")]
    for entry in entries:
        write_tokenizer(entry)
    tokens = Tokens(entries[0].root, held=2)
    await tokens.load("a")
    await tokens.load("b")
    await tokens.encode("a", ["one"])
    await tokens.load("c")
    for entry in entries:
        entry.tokenizer.unlink()

    await asyncio.gather(tokens.encode("a", ["one"]), tokens.encode("c", ["one"]))

    with pytest.raises(LoadError):
        await tokens.encode("b", ["one"])
    tokens.forget("a")
    with pytest.raises(LoadError):
        await tokens.encode("a", ["one"])


@given(st.permutations(range(11)), st.integers(1, 11))
def test_what_comes_out_of_batches_is_put_back_in_order(order: list[int], size: int) -> None:
    parts = [tuple(order[start : start + size]) for start in range(0, len(order), size)]
    batches = [TokenBatch(inputs={}, rows=rows) for rows in parts]

    outputs = in_order(batches, [np.array([[row, -row] for row in rows]) for rows in parts])

    assert outputs.tolist() == [[row, -row] for row in range(11)]
