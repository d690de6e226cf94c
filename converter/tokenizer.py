"""The tokenizer as it is published: one file that truncates and pads by itself, as sentence-transformers does."""

from typing import Any, Final

from tokenizers import Tokenizer

from bus.errors import InvalidInputError

MAX_TOKENS: Final = 32_768
"""Tokenizers without a limit say 10^30; no model here takes more than this."""


def max_tokens(model: Any) -> int:
    """The tokens a SentenceTransformer takes of one text, special ones included; `InvalidInputError` if it has no end.

    What the tokenizer says, and what the position embeddings can hold, whichever is less.
    """
    limits = [model.max_seq_length, getattr(model[0].auto_model.config, "max_position_embeddings", None)]
    known = [limit for limit in limits if isinstance(limit, int) and 0 < limit <= MAX_TOKENS]
    if not known:
        raise InvalidInputError("the model does not say how many tokens it takes: set max_seq_length and save it")
    return min(known)


def published_tokenizer(model: Any, *, max_seq_length: int) -> Tokenizer:
    """The model's tokenizer with truncation and padding switched on; `InvalidInputError` if it has no fast one.

    What sentence-transformers does to the text itself (lower case, if the model asks for it) is part of it.
    """
    tokenizer = model.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise InvalidInputError("the model has no fast tokenizer (tokenizer.json): save it with one")
    if tokenizer.pad_token_id is None:
        raise InvalidInputError("the model's tokenizer has no padding token: set pad_token and save it")
    published: Tokenizer = Tokenizer.from_str(backend.to_str())
    published.enable_truncation(max_length=max_seq_length, direction=tokenizer.truncation_side)
    published.enable_padding(
        direction=tokenizer.padding_side,
        pad_id=tokenizer.pad_token_id,
        pad_type_id=tokenizer.pad_token_type_id,
        pad_token=tokenizer.pad_token,
    )
    return published
