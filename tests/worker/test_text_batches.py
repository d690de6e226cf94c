import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from worker.text_batches import BatchLimits, cut

LENGTHS = st.lists(st.integers(0, 40), max_size=60).map(sorted)
LIMITS = st.builds(BatchLimits, rows=st.integers(1, 12), tokens=st.integers(1, 200))
RUN_TOKENS = st.floats(0.0, 500.0)


def cost(lengths: Sequence[int], batches: Sequence[range], run_tokens: float) -> float:
    return sum(run_tokens + lengths[batch.stop - 1] * len(batch) for batch in batches)


def allowed(lengths: Sequence[int], batch: range, limits: BatchLimits) -> bool:
    return len(batch) == 1 or (len(batch) <= limits.rows and lengths[batch.stop - 1] * len(batch) <= limits.tokens)


def every_way(count: int) -> list[list[range]]:
    """All ways of cutting so many texts into batches."""
    return [
        [range(start, end) for start, end in itertools.pairwise([0, *ends, count])]
        for size in range(count)
        for ends in itertools.combinations(range(1, count), size)
    ]


@given(LENGTHS, LIMITS, RUN_TOKENS)
def test_every_text_is_in_one_batch_and_batches_keep_the_limits(
    lengths: list[int], limits: BatchLimits, run_tokens: float
) -> None:
    batches = cut(lengths, limits, run_tokens=run_tokens)
    assert [position for batch in batches for position in batch] == list(range(len(lengths)))
    assert all(batch and allowed(lengths, batch, limits) for batch in batches)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=9).map(sorted), LIMITS, st.floats(0.0, 60.0))
def test_no_other_cut_is_cheaper(lengths: list[int], limits: BatchLimits, run_tokens: float) -> None:
    least = min(
        cost(lengths, batches, run_tokens)
        for batches in every_way(len(lengths))
        if all(allowed(lengths, batch, limits) for batch in batches)
    )
    found = cost(lengths, cut(lengths, limits, run_tokens=run_tokens), run_tokens)
    assert found <= least * (1 + 1e-9)


@given(LENGTHS, LIMITS, RUN_TOKENS)
def test_a_cut_is_never_dearer_than_one_batch_a_text_or_full_batches(
    lengths: list[int], limits: BatchLimits, run_tokens: float
) -> None:
    found = cost(lengths, cut(lengths, limits, run_tokens=run_tokens), run_tokens)
    full: list[range] = []
    for position in range(len(lengths)):
        if full and allowed(lengths, range(full[-1].start, position + 1), limits):
            full[-1] = range(full[-1].start, position + 1)
        else:
            full.append(range(position, position + 1))
    alone = [range(position, position + 1) for position in range(len(lengths))]
    for other in (full, alone):
        assert found <= cost(lengths, other, run_tokens) * (1 + 1e-9)


def test_where_a_run_costs_nothing_no_text_is_padded() -> None:
    batches = cut([3, 3, 5, 9, 9, 9], BatchLimits(rows=32, tokens=1000), run_tokens=0.0)
    assert batches == [range(2), range(2, 3), range(3, 6)]


def test_where_a_run_costs_much_texts_share_it_as_far_as_the_limits_go() -> None:
    lengths = [3, 3, 5, 9, 9, 9]
    assert cut(lengths, BatchLimits(rows=32, tokens=1000), run_tokens=5000.0) == [range(6)]
    assert cut(lengths, BatchLimits(rows=32, tokens=30), run_tokens=5000.0) == [range(3), range(3, 6)]
    assert cut(lengths, BatchLimits(rows=4, tokens=1000), run_tokens=5000.0) == [range(2), range(2, 6)]


def test_texts_over_the_limit_are_alone() -> None:
    assert cut([3, 80, 90], BatchLimits(rows=8, tokens=50), run_tokens=5000.0) == [range(1), range(1, 2), range(2, 3)]
