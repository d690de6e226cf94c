"""The durable consumer of the log sink, made anew for each session behind what is written.

A consumer that goes on after a crash first delivers what is new, and what was under way only when its wait for an
acknowledgement is over. Made anew, it delivers everything behind a given message strictly in the order of the stream,
which is what the numbers in the files rely on. It is durable all the same: `nats consumer info LOGS logsink` shows
how far the sink is, and that is what is believed if the folder has been lost.
"""

from contextlib import suppress
from typing import Final

from loguru import logger
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy
from nats.js.errors import NotFoundError

from bus.connection import Bus
from bus.streams import ensure_log_stream
from logsink.files import LogFolder
from logsink.position import Position, resume
from logsink.settings import LogsinkSettings

ACK_WAIT_S: Final = 120.0


async def renew_consumer(bus: Bus, settings: LogsinkSettings, folder: LogFolder) -> tuple[Position, ConsumerInfo]:
    """Where to go on, and a consumer that begins there; safe to be cancelled or to die at any point.

    Raises `UnavailableError` if the disk refuses, and what nats-py raises if the server does.
    """
    await ensure_log_stream(bus)
    stream, durable = bus.subjects.log_stream, settings.log_consumer
    info = await bus.js.stream_info(stream)
    acknowledged = 0
    with suppress(NotFoundError):
        old = await bus.js.consumer_info(stream, durable)
        acknowledged = old.ack_floor.stream_seq if old.ack_floor else 0
    known = folder.position()
    position = resume(
        known,
        stream=stream,
        created=str(info.created),
        last_stream_seq=info.state.last_seq,
        acknowledged=acknowledged,
        highest_seq=folder.highest_seq,
    )
    if known is not None and position.base != known.base:
        logger.bind(stream=stream).warning("log stream made anew or gone back; reading it from its beginning")
    if position != known:
        folder.keep_position(position)  # before the consumer, which knows it too, is removed
    with suppress(NotFoundError):
        await bus.js.delete_consumer(stream, durable)
    consumer = await bus.js.add_consumer(
        stream,
        ConsumerConfig(
            name=durable,
            durable_name=durable,
            description="labelbus: the log sink",
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=position.written + 1,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_S,
            max_deliver=-1,
            filter_subject=bus.subjects.log_all,
            max_ack_pending=4 * settings.batch_messages,
        ),
    )
    return position, consumer
