import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import BadNameError
from bus.names import check_task_id, check_task_type, check_worker_id, model_name, normalise_label

part = st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9._]|-(?=[A-Za-z0-9._])){0,20}", fullmatch=True)
labels = st.lists(part, min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("sentence-transformers/all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"),
        ("sentence-transformers--all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"),
        ("plain", "plain"),
        ("acme/eu/v1.2_x", "acme/eu/v1.2_x"),
        ("_private", "_private"),
    ],
)
def test_a_label_with_slashes_and_one_with_double_hyphens_are_one(text, label):
    assert normalise_label(text) == label


@pytest.mark.parametrize(
    "text",
    ["", "/", "a/", "/a", "a//b", "..", "../x", "a/../b", ".hidden", "a b", "a:b", "a@b", "ä", "a\n", "a*", "a.>/b"]
    + ["a---b", "-a", "a-", "--", "a/-b", "a-/b", "x" * 201, "a/" * 99 + "abc" * 2, "a\x00b", "a\\b"],
)
def test_what_cannot_be_a_label_is_refused(text):
    with pytest.raises(BadNameError):
        normalise_label(text)


@given(labels)
def test_the_model_name_leads_back_to_the_label(label):
    assert normalise_label(label) == label
    assert normalise_label(model_name(label)) == label


@given(labels, labels)
def test_different_labels_have_different_model_names(one, other):
    assert (model_name(one) == model_name(other)) == (one == other)


@given(st.text(max_size=300))
def test_any_text_is_either_a_normal_label_or_a_bad_name(text):
    try:
        label = normalise_label(text)
    except BadNameError:
        return
    assert normalise_label(label) == label
    assert "/" not in model_name(label)
    assert not model_name(label).startswith((".", "-"))


@pytest.mark.parametrize("text", ["", "any", "a.b", "a b", "-a", "*", ">", "x" * 65, "a/b", "ü"])
def test_what_cannot_be_a_worker_id_is_refused(text):
    with pytest.raises(BadNameError):
        check_worker_id(text)


def test_ordinary_ids_are_kept():
    assert check_worker_id("worker-1_a") == "worker-1_a"
    assert check_task_id("9f1c:a.b-c_d") == "9f1c:a.b-c_d"
    assert check_task_type("embed_texts") == "embed_texts"


@pytest.mark.parametrize("text", ["", "a b", "x" * 129, "\n", "a/b", "é"])
def test_what_cannot_be_a_task_id_is_refused(text):
    with pytest.raises(BadNameError):
        check_task_id(text)


@pytest.mark.parametrize("text", ["", "Embed", "9a", "a-b", "x" * 65])
def test_what_cannot_be_a_task_type_is_refused(text):
    with pytest.raises(BadNameError):
        check_task_type(text)
