"""The durable consumer of the log stream, from which the log sink pulls."""

from typing import Final

import msgspec
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from bus.connection import Bus
from bus.errors import NotFoundError
from bus.nats_errors import translated

UNLIMITED: Final = -1


class LogStreamState(msgspec.Struct, frozen=True, kw_only=True):
    """The log stream as it is now; `created` tells it from earlier streams of the same name."""

    created: str
    last_seq: int


async def log_stream_state(bus: Bus) -> LogStreamState:
    """Return the state of the log stream; raises `NotFoundError` or `UnavailableError`."""
    stream = bus.subjects.log_stream
    with translated(f"could not read the state of the stream {stream}"):
        info = await bus.js.stream_info(stream)
    return LogStreamState(created=str(info.created), last_seq=info.state.last_seq)


async def acknowledged_seq(bus: Bus, consumer: str) -> int:
    """Return the sequence number up to which the consumer has acknowledged everything; 0 if there is no consumer."""
    try:
        with translated(f"could not read the state of the consumer {consumer}"):
            info = await bus.js.consumer_info(bus.subjects.log_stream, consumer)
    except NotFoundError:
        return 0
    return info.ack_floor.stream_seq if info.ack_floor else 0


async def replace_consumer(
    bus: Bus, consumer: str, *, first_seq: int, ack_wait_s: float, max_unacknowledged: int
) -> int:
    """Make the consumer again, to begin with message `first_seq`; return how many messages wait for it."""
    stream = bus.subjects.log_stream
    try:
        with translated(f"could not delete the consumer {consumer}"):
            await bus.js.delete_consumer(stream, consumer)
    except NotFoundError:
        pass
    config = ConsumerConfig(
        name=consumer,
        durable_name=consumer,
        description="labelbus: the log sink",
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=first_seq,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ack_wait_s,
        max_deliver=UNLIMITED,
        filter_subject=bus.subjects.log_all,
        max_ack_pending=max_unacknowledged,
    )
    with translated(f"could not make the consumer {consumer}"):
        info = await bus.js.add_consumer(stream, config)
    return info.num_pending or 0
