"""Limits of what one embed_texts task may ask for."""

import orjson
import pytest

from bus.errors import BadParametersError
from worker.handlers.embed_texts import check_texts, embed_texts


@pytest.mark.parametrize(
    "texts",
    [["a"], [""], ["x" * 5], ["ä" * 5], ["a", "b", "c"]],
)
def test_texts_within_the_limits_pass(texts):
    check_texts(texts, max_texts=3, max_chars=5)


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["a"] * 4, "4 texts in one task; at most 3 are allowed"),
        (["a", "x" * 6], "text 1 has 6 characters; at most 5 are allowed"),
    ],
)
def test_texts_over_a_limit_are_refused_with_the_limit(texts, says):
    with pytest.raises(BadParametersError, match=says):
        check_texts(texts, max_texts=3, max_chars=5)


@pytest.mark.parametrize(
    "parameters",
    [{}, {"texts": []}, {"texts": "a"}, {"texts": [None]}, {"texts": ["a"], "normalise": True}, {"texts": {"0": "a"}}],
)
def test_parameters_that_are_no_list_of_texts_are_refused(parameters):
    with pytest.raises(BadParametersError):
        embed_texts.decode(orjson.dumps(parameters))
