"""Bodies of requests and answers, as OpenAPI shows them."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta


class RunTask(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task. `parameters_json` is the JSON that the task type takes, as text or as it is."""

    task_type: Annotated[
        str, Meta(description="embed_texts, infer, sample_task, or one's own", examples=["embed_texts"])
    ]
    label: Annotated[
        str, Meta(description="The model, with / or --", examples=["sentence-transformers/all-MiniLM-L6-v2"])
    ]
    parameters_json: Annotated[
        str | dict[str, Any],
        Meta(description="Parameters of the task type", examples=['{"texts": ["a sentence", "another"]}']),
    ]
    task_id: Annotated[str | None, Meta(description="Unique among tasks in flight; made when missing")] = None
    deadline_ms: Annotated[
        Annotated[int, Meta(ge=0, lt=2**53)] | None, Meta(description="Unix time; no answer is wanted after it")
    ] = None
    retry: Annotated[bool, Meta(description="false: run at most once, even if the worker is lost")] = True


class UploadModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A SentenceTransformer to convert."""

    model_id: Annotated[
        str,
        Meta(min_length=1, max_length=1024, description="Hub id", examples=["sentence-transformers/all-MiniLM-L6-v2"]),
    ]
    max_batch_size: Annotated[int, Meta(ge=1, le=1024)] = 32
    overwrite: bool = False


class Uploaded(msgspec.Struct, frozen=True, kw_only=True):
    """A converted model."""

    status: str
    model_name: str
    message: str


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message for people."""

    message: str


class Workers(msgspec.Struct, frozen=True, kw_only=True):
    """Ids of the workers in the registry."""

    workers: list[str]


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error, as problem details (RFC 9457); `code` is stable, `detail` says what to do next."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    task_id: str = ""
    worker: str = ""
