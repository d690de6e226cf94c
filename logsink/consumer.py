"""The log sink's place in the log stream: a durable consumer, made again for each session behind what is written.

A consumer that goes on after a crash first delivers what is new, and what was in flight only when its wait for an
acknowledgement is over. Made again, it delivers everything behind a given message strictly in the order of the stream,
which the numbers in the files rely on. It is durable all the same: `nats consumer info LOGS logsink` shows how far the
sink is, and that is believed if the folder has been lost.
"""

from typing import Final

import msgspec
from loguru import logger

from bus.connection import Bus
from bus.log_consumer import acknowledged_seq, log_stream_state, replace_consumer
from bus.streams import ensure_log_stream
from logsink.files import LogFolder
from logsink.position import Position, resume
from logsink.settings import LogsinkSettings

ACK_WAIT_S: Final = 120.0


class Resumed(msgspec.Struct, frozen=True, kw_only=True):
    """A session's beginning: the position behind which it reads, and how many messages wait there."""

    position: Position
    waiting: int


async def renew_consumer(bus: Bus, settings: LogsinkSettings, folder: LogFolder) -> Resumed:
    """Make the consumer begin behind what is written; safe to be cancelled or to die at any point.

    Raises `UnavailableError` if the disk or the server refuses.
    """
    await ensure_log_stream(bus)
    stream, consumer = bus.subjects.log_stream, settings.log_consumer
    state = await log_stream_state(bus)
    known = folder.position()
    position = resume(
        known,
        stream=stream,
        created=state.created,
        last_stream_seq=state.last_seq,
        acknowledged=await acknowledged_seq(bus, consumer),
        highest_seq=folder.highest_seq,
    )
    if known is not None and position.base != known.base:
        logger.bind(stream=stream).warning("log stream replaced or rolled back; reading it from its beginning")
    if position != known:
        folder.keep_position(position)  # before the consumer, which knows it too, is removed
    waiting = await replace_consumer(
        bus,
        consumer,
        first_seq=position.written + 1,
        ack_wait_s=ACK_WAIT_S,
        max_unacknowledged=4 * settings.batch_messages,
    )
    return Resumed(position=position, waiting=waiting)
