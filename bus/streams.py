"""The bucket and the stream that the bus keeps its state in; the first component that needs one makes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from loguru import logger
from nats.js.api import DiscardPolicy, KeyValueConfig, StorageType, StreamConfig
from nats.js.errors import BadRequestError
from nats.js.kv import KeyValue

from bus.connection import Bus
from bus.errors import LabelbusError, UnavailableError
from bus.nats_errors import translated

MARKER_TTL_S: Final = 60
"""Lifetime of the marker that an expired key leaves, from which watchers learn of the expiry."""

LOG_MAX_AGE_S: Final = 7 * 24 * 3600.0
LOG_MAX_BYTES: Final = 1024**3
"""The log sink may be away for a week or a gibibyte; then the oldest records are dropped."""

MAX_ENTRY_BYTES: Final = 512 * 1024
"""A worker with a thousand labels (the most it may have) of 200 characters each needs 300 KB."""


async def ensure_bucket(bus: Bus) -> KeyValue:
    """Return the KV bucket of the label registry, made if there is none; `UnavailableError` without JetStream.

    The bucket is on file: one in memory is gone after a restart of the server, and its watchers are not told.
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
    with _made(f"the KV bucket {config.bucket}"):
        try:
            return await bus.js.create_key_value(config)
        except BadRequestError as exc:  # made by an operator with a configuration of theirs, which stays
            logger.bind(bucket=config.bucket, reason=exc.description).debug("bucket exists with other settings")
            return await bus.js.key_value(config.bucket)


async def ensure_log_stream(bus: Bus) -> None:
    """Make the stream that keeps log records if there is none; `UnavailableError` without JetStream."""
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
    with _made(f"the stream {config.name}"):
        try:
            await bus.js.add_stream(config)
        except BadRequestError as exc:
            logger.bind(stream=config.name, reason=exc.description).debug("stream exists with other settings")
            await bus.js.stream_info(bus.subjects.log_stream)


async def check_jetstream(bus: Bus) -> None:
    """Raise `UnavailableError` if the server has no JetStream for this user."""
    with _made("JetStream's account information", "read"):
        await bus.js.account_info()


@contextmanager
def _made(what: str, done: str = "made") -> Iterator[None]:
    try:
        with translated(f"{what} cannot be {done}"):
            yield
    except UnavailableError:
        raise
    except (LabelbusError, AssertionError) as exc:  # nats-py asserts what a server without JetStream does not send
        raise UnavailableError(f"{exc}; is JetStream enabled on the NATS server?") from exc
