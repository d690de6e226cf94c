"""Whether what is to be published gives the embeddings that sentence-transformers gives."""

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
"""Relative; the cosine alone would not see a lost normalisation."""

MAX_CHECKED_TOKENS: Final = 1024
"""The over-long text is cut to this for models that take more: attention grows with the square of it."""

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
    """What sentence-transformers made of the texts, and the tokens it saw."""

    texts: tuple[str, ...]
    token_ids: tuple[tuple[int, ...], ...]
    embeddings: Any
    """float32 [texts, dim]."""


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """How close the graph comes: the least cosine, and the largest relative difference of the lengths."""

    cosine: float
    norm_error: float


def sample_texts(max_seq_length: int) -> tuple[str, ...]:
    """The texts that are compared: short ones of several languages, and one that is truncated."""
    words = min(max_seq_length, MAX_CHECKED_TOKENS) * 5 // 4
    return (*SHORT_TEXTS, " ".join(f"word{number % 97}" for number in range(words)))


def reference(model: Any, texts: tuple[str, ...]) -> Reference:
    """What the SentenceTransformer itself gives."""
    token_ids = [model.tokenize([text])["input_ids"][0].tolist() for text in texts]
    embeddings = model.encode(list(texts), batch_size=4, convert_to_numpy=True, show_progress_bar=False)
    return Reference(
        texts=texts,
        token_ids=tuple(map(tuple, token_ids)),
        embeddings=np.asarray(embeddings, dtype=np.float32),
    )


def verify(graph: Path, tokenizer: Path, expected: Reference) -> Agreement:
    """How well the files agree with the reference; `WorkerError` if the cosine is under `MIN_COSINE`.

    The short texts go through in one padded batch, the long one alone, as a worker would do it.
    """
    published = Tokenizer.from_file(str(tokenizer))
    for text, ids in zip(expected.texts, expected.token_ids, strict=True):
        if published.encode(text).ids != list(ids):
            raise WorkerError(f"the tokenizer.json splits {text[:60]!r} otherwise than sentence-transformers does")
    session = ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    found = np.concatenate([_embed(session, published, part) for part in (expected.texts[:-1], expected.texts[-1:])])
    return agreement(found, expected.embeddings)


def agreement(found: Floats, expected: Floats) -> Agreement:
    """Compare row by row; `WorkerError` if a row is off, the shapes differ or a number is not finite."""
    if found.shape != expected.shape:
        raise WorkerError(f"the graph gives embeddings of shape {found.shape} instead of {expected.shape}")
    if not (np.isfinite(found).all() and np.isfinite(expected).all()):
        raise WorkerError("the model gives embeddings that are not finite")
    found64, expected64 = found.astype(np.float64), expected.astype(np.float64)
    norms, expected_norms = np.linalg.norm(found64, axis=1), np.linalg.norm(expected64, axis=1)
    if not (norms.all() and expected_norms.all()):
        raise WorkerError("the model gives embeddings of length zero")
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
