"""The cut of sorted texts into batches: the cheapest one by padded tokens and number of runs. Pure code."""

import math
from collections.abc import Sequence

from msgspec import Struct


class BatchLimits(Struct, frozen=True, kw_only=True):
    """The most that one batch may have."""

    rows: int
    """Texts: the model's `max_batch_size`."""
    tokens: int
    """Padded tokens, longest × count, as text-embeddings-inference counts its `max_batch_tokens`."""

    def rows_of(self, length: int) -> int:
        """Return how many texts fit beside one of `length` tokens that is the longest; 1 if it is over the limit."""
        return max(1, min(self.rows, self.tokens // length)) if length else self.rows


def cut(lengths: Sequence[int], limits: BatchLimits, *, run_tokens: float) -> list[range]:
    """Return batches of the texts whose token counts are given in ascending order: ranges that follow each other.

    The sum over the batches of `run_tokens` + longest × count is the least possible within the limits; `run_tokens` is
    the fixed time of one run, as the number of tokens that take as long. A text over the limit is alone.

    Dynamic programming over the starts of batches. The end of a batch is tried only after the last text of its length,
    or where the batch is full: anywhere else the next text of the same length could move into the batch, at the price
    of its length, and would cost at least as much less where it was. So the time is the number of texts times the
    number of different lengths in one batch.
    """
    count = len(lengths)
    next_length = _next_lengths(lengths)
    cost = [math.inf] * (count + 1)
    cost[0] = 0.0
    start_of = [0] * (count + 1)
    for start in range(count):
        before = cost[start] + run_tokens
        if before == math.inf:
            continue
        end = start
        while end < count:
            length = lengths[end]
            full = start + limits.rows_of(length)
            following = min(next_length[end], full)
            if following <= end:  # no room beside a text of this length
                break
            end = following
            if (total := before + length * (end - start)) < cost[end]:
                cost[end] = total
                start_of[end] = start
            if end == full:
                break
    return _batches(start_of)


def _next_lengths(lengths: Sequence[int]) -> list[int]:
    """Return for each text the position of the first longer one."""
    following = len(lengths)
    positions = [following] * len(lengths)
    for position in range(len(lengths) - 2, -1, -1):
        if lengths[position] != lengths[position + 1]:
            following = position + 1
        positions[position] = following
    return positions


def _batches(start_of: Sequence[int]) -> list[range]:
    batches = []
    end = len(start_of) - 1
    while end:
        batches.append(range(start_of[end], end))
        end = start_of[end]
    return batches[::-1]
