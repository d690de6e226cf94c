"""The published tokenizer: one file that truncates and pads as sentence-transformers does."""

from typing import Any, Final

from tokenizers import Tokenizer

from bus.errors import InvalidInputError

MAX_TOKENS: Final = 32_768
"""The greatest limit that is believed: tokenizers without a limit say 10^30."""


def max_tokens(model: Any) -> int:
    """Return the most tokens of one text, special ones included; raise `InvalidInputError` if there is no limit.

    The limit is that of the tokenizer or that of the position embeddings, whichever is less.
    """
    limits = [model.max_seq_length, getattr(model[0].auto_model.config, "max_position_embeddings", None)]
    known = [limit for limit in limits if isinstance(limit, int) and 0 < limit <= MAX_TOKENS]
    if not known:
        raise InvalidInputError("the model has no limit of tokens: set max_seq_length and save it")
    return min(known)


def published_tokenizer(model: Any, *, max_seq_length: int) -> Tokenizer:
    """Return the model's tokenizer with truncation and padding; raise `InvalidInputError` if it has no fast one.

    Changes that sentence-transformers makes to the text (lower case, if the model asks for it) are part of it.
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
