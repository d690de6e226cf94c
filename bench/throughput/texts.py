"""Texts of mixed lengths, dealt into tasks so that every few tasks have about the same amount of work. Pure code.

The sentences in sentences.txt were written for this benchmark and are under its licence. A text is one of them (three
of five), or up to twelve that follow each other: from one word to some three hundred.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

SENTENCES: Final = tuple(Path(__file__).with_name("sentences.txt").read_text(encoding="utf-8").splitlines())

BLOCK: Final = 16
"""Texts in a block, each from another sixteenth of the lengths."""

_BLOCKS: Final = 32
_SIZES: Final = ((60, 1, 1), (25, 2, 4), (15, 5, 12))
"""Of a hundred texts so many have from … to … sentences."""


def mixed_texts(seed: int = 0) -> list[str]:
    """Return 512 texts in blocks of `BLOCK`.

    A leg ends after some time and not after some texts, so that one of shorter texts would look faster. Each block has
    one text from each sixteenth of the lengths, in random order: legs differ by less than a block's work.
    """
    rng = random.Random(seed)
    texts = sorted((_text(rng) for _ in range(BLOCK * _BLOCKS)), key=len)
    strata = [texts[start : start + _BLOCKS] for start in range(0, len(texts), _BLOCKS)]
    for stratum in strata:
        rng.shuffle(stratum)
    dealt: list[str] = []
    for block in zip(*strata, strict=True):
        dealt += rng.sample(block, BLOCK)
    return dealt


def tasks_of(texts: Sequence[str], texts_per_task: int) -> list[tuple[str, ...]]:
    """Return the texts in tasks of this size, in their order, over and over until all sizes of task are whole."""
    count = max(1, len(texts) // texts_per_task)
    return [
        tuple(texts[(start + offset) % len(texts)] for offset in range(texts_per_task))
        for start in range(0, count * texts_per_task, texts_per_task)
    ]


def _text(rng: random.Random) -> str:
    [(_, least, most)] = rng.choices(_SIZES, weights=[weight for weight, _, _ in _SIZES])
    count = rng.randint(least, most)
    first = rng.randrange(len(SENTENCES) - count + 1)
    return " ".join(SENTENCES[first : first + count])
