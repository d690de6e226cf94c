"""The comparison of graph and tokenizer with sentence-transformers, before they are published."""

from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from tokenizers import Tokenizer

from bus.errors import WorkerError
from converter.triton_config import INPUTS, OUTPUT

MIN_COSINE: Final = 0.9999
MAX_NORM_ERROR: Final = 1e-3
"""Relative error of the length; the cosine alone would not show a missing normalisation."""

MAX_CHECKED_TOKENS: Final = 1024
"""Tokens of the longest text, for models that take more: the cost of attention grows with the square."""

Floats = npt.NDArray[np.float32]

SHORT_TEXTS: Final = (
    "A worker holds a label before it can run a task.",
    "Is it?",
    "x",
    "Die Übersetzung größerer Texte dauert länger, als man glaubt.",
    "Ceci n'est pas une pipe, mais l'été à Orléans était doux.",
    "東京は日本の首都です。人口は約1400万人。",
    "Привет, мир! Как дела?",
    "مرحبا بالعالم",
    "price: 1,299.00 € (−15 %) https://example.org/a?b=c&d=1 #42",
    "def f(x):\n\treturn x ** 2  # tabs, newlines   and   spaces",
    "emoji 🚀 and ﬁ ligatures, e\u0301 combined",
    "the quick brown fox jumps over the lazy dog " * 6,
)


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """The embeddings and the tokens that sentence-transformers makes of the texts."""

    texts: tuple[str, ...]
    token_ids: tuple[tuple[int, ...], ...]
    embeddings: Any
    """float32 [texts, dim]."""


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """The agreement of two sets of embeddings: the least cosine, the largest relative difference of the lengths."""

    cosine: float
    norm_error: float


def sample_texts(max_seq_length: int) -> tuple[str, ...]:
    """Return the texts to compare: short ones in several languages, and one that is truncated."""
    words = min(max_seq_length, MAX_CHECKED_TOKENS) * 5 // 4
    return (*SHORT_TEXTS, " ".join(f"word{number % 97}" for number in range(words)))


def reference(model: Any, texts: tuple[str, ...]) -> Reference:
    """Return the tokens and embeddings that the SentenceTransformer itself makes."""
    token_ids = [model.tokenize([text])["input_ids"][0].tolist() for text in texts]
    embeddings = model.encode(list(texts), batch_size=4, convert_to_numpy=True, show_progress_bar=False)
    return Reference(
        texts=texts,
        token_ids=tuple(map(tuple, token_ids)),
        embeddings=np.asarray(embeddings, dtype=np.float32),
    )


def verify(graph: Path, tokenizer: Path, expected: Reference) -> Agreement:
    """Compare the files with the reference; raise `WorkerError` if they disagree.

    The short texts are run in one padded batch and the long one alone, as a worker does.
    """
    published = Tokenizer.from_file(str(tokenizer))
    for text, ids in zip(expected.texts, expected.token_ids, strict=True):
        if published.encode(text).ids != list(ids):
            raise WorkerError(f"tokenizer.json splits {text[:60]!r} differently from sentence-transformers")
    session = ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    found = np.concatenate([_embed(session, published, part) for part in (expected.texts[:-1], expected.texts[-1:])])
    return agreement(found, expected.embeddings)


def agreement(found: Floats, expected: Floats) -> Agreement:
    """Compare row by row; raise `WorkerError` if a row or a shape differs or a number is not finite."""
    if found.shape != expected.shape:
        raise WorkerError(f"the graph makes embeddings of shape {found.shape} instead of {expected.shape}")
    if not (np.isfinite(found).all() and np.isfinite(expected).all()):
        raise WorkerError("the model makes embeddings that are not finite")
    found64, expected64 = found.astype(np.float64), expected.astype(np.float64)
    norms, expected_norms = np.linalg.norm(found64, axis=1), np.linalg.norm(expected64, axis=1)
    if not (norms.all() and expected_norms.all()):
        raise WorkerError("the model makes embeddings of length zero")
    cosine = float(((found64 * expected64).sum(axis=1) / (norms * expected_norms)).min())
    norm_error = float(np.abs(norms / expected_norms - 1).max())
    if cosine < MIN_COSINE or norm_error > MAX_NORM_ERROR:
        raise WorkerError(
            f"the graph differs from sentence-transformers (least cosine {cosine:.6f}, lengths off by "
            f"{norm_error:.2e}): this model cannot be converted faithfully, and nothing was published"
        )
    return Agreement(cosine=min(cosine, 1.0), norm_error=norm_error)


def _embed(session: Any, tokenizer: Tokenizer, texts: tuple[str, ...]) -> Floats:
    encodings = tokenizer.encode_batch(list(texts))
    feeds = {
        INPUTS[0]: np.array([each.ids for each in encodings], dtype=np.int64),
        INPUTS[1]: np.array([each.attention_mask for each in encodings], dtype=np.int64),
    }
    (embeddings,) = session.run([OUTPUT], feeds)
    return np.asarray(embeddings, dtype=np.float32)
