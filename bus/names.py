"""The names of labels, workers, tasks and task types: checked and normalised here, and nowhere else.

A label is written as users write it, `sentence-transformers/all-MiniLM-L6-v2`. The model repository cannot have
a slash in a folder's name, so the Triton model name is the label with `/` replaced by `--`. Both name the same
label everywhere: `normalise_label` takes either and gives the form with slashes. A part of a label may neither
begin nor end with a hyphen nor contain two in a row, which makes the replacement reversible.
"""

import functools
import re
from typing import Final

from bus.errors import BadNameError

MAX_LABEL_CHARS: Final = 200
"""A model name is the name of a folder, at most 255 bytes on most file systems; the rest is room for suffixes."""

MAX_ID_CHARS: Final = 64
MAX_TASK_ID_CHARS: Final = 128
MAX_TASK_TYPE_CHARS: Final = 64

ANY_WORKER: Final = "any"
"""The last token of the queue group's subject, which no worker may have as its id."""

_LABEL_PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._]|-(?!-))*(?<!-)", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*", re.ASCII)
_TASK_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*", re.ASCII)
_TASK_TYPE = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)


@functools.lru_cache(maxsize=8192)
def normalise_label(text: str) -> str:
    """Return the label in its normal form, with slashes; `a--b` and `a/b` are one label.

    Raises `BadNameError` if the text cannot be a label.
    """
    label = text.replace("--", "/")
    if len(text) > MAX_LABEL_CHARS or len(model_name(label)) > MAX_LABEL_CHARS:
        raise BadNameError(f"a label has at most {MAX_LABEL_CHARS} characters as a model name; this one is longer")
    if not all(_LABEL_PART.fullmatch(part) for part in label.split("/")):
        raise BadNameError(
            f"{_shown(text)} cannot be a label: letters, digits, '.', '_' and '-', in parts joined by '/', each part "
            "beginning with a letter, a digit or '_' and not ending with '-'"
        )
    return label


def model_name(label: str) -> str:
    """Return the name of a normal label's entry in the Triton model repository."""
    return label.replace("/", "--")


@functools.lru_cache(maxsize=8192)
def check_worker_id(text: str) -> str:
    """Return the text, or raise `BadNameError`: a worker's id is one token of a subject and part of a KV key."""
    if text == ANY_WORKER or len(text) > MAX_ID_CHARS or not _ID.fullmatch(text):
        raise BadNameError(
            f"{_shown(text)} cannot be a worker or component id: 1 to {MAX_ID_CHARS} letters, digits, '-' and '_', "
            f"beginning with a letter or digit, and not '{ANY_WORKER}'"
        )
    return text


def check_task_id(text: str) -> str:
    """Return the text, or raise `BadNameError`: a task id goes into headers and log lines."""
    if len(text) > MAX_TASK_ID_CHARS or not _TASK_ID.fullmatch(text):
        raise BadNameError(
            f"{_shown(text)} cannot be a task_id: 1 to {MAX_TASK_ID_CHARS} letters, digits and '._:-', beginning with "
            "a letter or digit; leave it out and one is made"
        )
    return text


@functools.lru_cache(maxsize=1024)
def check_task_type(text: str) -> str:
    """Return the text, or raise `BadNameError`: a task type is the name of a handler."""
    if len(text) > MAX_TASK_TYPE_CHARS or not _TASK_TYPE.fullmatch(text):
        raise BadNameError(
            f"{_shown(text)} cannot be a task_type: 1 to {MAX_TASK_TYPE_CHARS} lower-case letters, digits and '_', "
            "beginning with a letter"
        )
    return text


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
