import numpy as np
import pytest

from bus.errors import WorkerError
from converter.verify import SHORT_TEXTS, agreement, sample_texts

ROWS = np.array([[3.0, 4.0], [1.0, 0.0]], dtype=np.float32)


def test_equal_embeddings_agree():
    found = agreement(ROWS, ROWS)
    assert found.cosine == pytest.approx(1.0)
    assert found.norm_error == 0


@pytest.mark.parametrize(
    "found",
    [
        np.array([[3.0, 4.0], [0.99, 0.1]], dtype=np.float32),  # one row turned
        np.array([[3.0, 4.0], [1.01, 0.0]], dtype=np.float32),  # one row too long
        np.array([[0.6, 0.8], [1.0, 0.0]], dtype=np.float32),  # normalised where it should not be
        np.array([[-3.0, -4.0], [1.0, 0.0]], dtype=np.float32),
        np.array([[0.0, 0.0], [1.0, 0.0]], dtype=np.float32),
        np.array([[np.nan, 4.0], [1.0, 0.0]], dtype=np.float32),
        ROWS[:1],
        np.ones((2, 3), dtype=np.float32),
    ],
)
def test_embeddings_that_differ_fail(found):
    with pytest.raises(WorkerError):
        agreement(found, ROWS)


@pytest.mark.parametrize(("limit", "words"), [(48, 60), (512, 640), (8192, 1280)])
def test_the_last_sample_is_longer_than_the_model_takes_as_far_as_that_is_cheap(limit, words):
    *short, long = sample_texts(limit)
    assert tuple(short) == SHORT_TEXTS
    assert len(long.split()) == words
