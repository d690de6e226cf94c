"""The bucket and the stream that the bus keeps its state in, made by whoever comes first."""

from typing import Final

import nats.errors
from loguru import logger
from nats.js.api import DiscardPolicy, KeyValueConfig, StorageType, StreamConfig
from nats.js.errors import APIError, BadRequestError, Error, ServerError
from nats.js.kv import KeyValue

from bus.connection import Bus
from bus.errors import UnavailableError, reason

MARKER_TTL_S: Final = 60
"""How long an expired key leaves a marker, which is what watchers see of an expiry."""

LOG_MAX_AGE_S: Final = 7 * 24 * 3600.0
LOG_MAX_BYTES: Final = 1024**3
"""The log sink may be away for a week or a gibibyte; then the oldest records go."""


MAX_ENTRY_BYTES: Final = 512 * 1024
"""A worker with a thousand labels (as many as it may have) of 200 characters needs 300 KB."""


async def ensure_bucket(bus: Bus) -> KeyValue:
    """The KV bucket of the label registry, made if there is none; `UnavailableError` without JetStream.

    File storage: a memory bucket is gone after a restart of the server, and its watchers stay silent.
    """
    config = KeyValueConfig(
        bucket=bus.subjects.bucket,
        description="labelbus: which worker holds which labels",
        history=1,
        storage=StorageType.FILE,
        replicas=bus.replicas,
        limit_marker_ttl=MARKER_TTL_S,
        max_value_size=MAX_ENTRY_BYTES,
    )
    try:
        try:
            return await bus.js.create_key_value(config)
        except BadRequestError as exc:  # made with another configuration, by an operator: theirs holds
            logger.bind(bucket=config.bucket, reason=exc.description).debug("bucket exists with other settings")
            return await bus.js.key_value(config.bucket)
    except (Error, nats.errors.Error, TimeoutError, AssertionError) as exc:
        raise UnavailableError(_sentence(f"the KV bucket {config.bucket}", exc)) from exc


async def ensure_log_stream(bus: Bus) -> None:
    """The stream that keeps log records, made if there is none; `UnavailableError` without JetStream."""
    config = StreamConfig(
        name=bus.subjects.log_stream,
        description="labelbus: log records of every component, until the log sink has written them and a week longer",
        subjects=[bus.subjects.log_all],
        storage=StorageType.FILE,
        num_replicas=bus.replicas,
        discard=DiscardPolicy.OLD,
        max_age=LOG_MAX_AGE_S,
        max_bytes=LOG_MAX_BYTES,
        duplicate_window=120.0,
    )
    try:
        try:
            await bus.js.add_stream(config)
        except BadRequestError as exc:
            logger.bind(stream=config.name, reason=exc.description).debug("stream exists with other settings")
            await bus.js.stream_info(bus.subjects.log_stream)
    except (Error, nats.errors.Error, TimeoutError) as exc:
        raise UnavailableError(_sentence(f"the stream {config.name}", exc)) from exc


def _sentence(what: str, exc: BaseException) -> str:
    if isinstance(exc, ServerError | APIError):
        return f"{what} cannot be made: {exc.description}; is JetStream enabled on the NATS server?"
    return f"{what} is out of reach: {reason(exc)}"
