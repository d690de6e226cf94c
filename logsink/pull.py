"""Messages of a durable consumer, in order and without a gap, in portions of bounded size.

One pull request is open at a time, for so many messages and so many bytes; while a portion is being written, the
next arrives. A consumer numbers its deliveries: a number that is not the next means that a delivery was lost on its
way, and what was lost would come again only after messages that follow it. A writer that takes the last number in a
file for "all before it is there" must not see that, so the puller gives up and the consumer is made again.
"""

import asyncio
import time
from datetime import datetime
from typing import Final

import msgspec

from bus.connection import Bus, Msg, Subscription
from bus.errors import UnavailableError
from bus.subjects import is_ack

HEARTBEAT_S: Final = 5.0
STALE_S: Final = 2.5 * HEARTBEAT_S
"""Without so much as a heartbeat the request is gone: the server restarted, or the link is dead."""

EXPIRES_S: Final = 60.0
MIN_REQUEST_BYTES: Final = 8 * 1024 * 1024


class Pulled(msgspec.Struct, frozen=True, kw_only=True):
    """One message of the stream, with the time at which the stream stored it; `message` is to be acknowledged."""

    stream_seq: int
    stored_at: datetime
    message: Msg


class Puller:
    """The pulling from one consumer, from which nothing else pulls. After an error from `take` it is of no use."""

    def __init__(self, bus: Bus, consumer: str, *, batch_messages: int) -> None:
        self._bus = bus
        self._next_subject = bus.subjects.pull(consumer)
        self._batch = batch_messages
        self._max_bytes = max(MIN_REQUEST_BYTES, 2 * bus.max_payload_bytes)
        self._inbox = bus.new_inbox()
        self._subscription: Subscription | None = None
        self._requests = 0
        self._open = 0  # messages that the open request may still bring
        self._ready: list[Pulled] = []
        self._delivered = 0
        self._heard = time.monotonic()
        self._fault = ""
        self._expired = False
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Subscribe to the inbox, so that `take` can be called."""
        self._subscription = await self._bus.subscribe(f"{self._inbox}.*", self._receive)

    async def stop(self) -> None:
        """Receive no more. Messages that were not taken were not acknowledged either, and are delivered again."""
        if self._subscription is not None:
            await self._bus.unsubscribe(self._subscription)

    def interrupt(self, why: str) -> None:
        """Make `take` raise: the connection was renewed, or it is time to end."""
        self._fault = self._fault or why
        self._changed.set()

    async def take(self, *, linger_s: float) -> list[Pulled]:
        """Return the messages that have arrived; none if none arrived for a minute.

        Once there is one, others have `linger_s` to join it. Raises `UnavailableError` if the stream is silent or
        refuses, or a delivery was lost.
        """
        while not self._ready:
            self._check()
            if self._expired:
                self._expired = False
                return []
            if self._open <= 0:
                await self._request()
            self._changed.clear()
            try:
                async with asyncio.timeout(STALE_S):
                    await self._changed.wait()
            except TimeoutError:
                if time.monotonic() - self._heard >= STALE_S:
                    self.interrupt(f"the log stream has been silent for {STALE_S:g} s")
        if len(self._ready) < self._batch and linger_s:
            await asyncio.sleep(linger_s)
        self._check()
        taken, self._ready = self._ready, []
        if self._open <= 0:
            await self._request()  # it fills while these are written
        return taken

    def _check(self) -> None:
        if self._fault:
            raise UnavailableError(self._fault)

    async def _request(self) -> None:
        self._requests += 1
        self._open = self._batch
        self._heard = time.monotonic()
        body = {
            "batch": self._batch,
            "max_bytes": self._max_bytes,
            "expires": int(EXPIRES_S * 1e9),
            "idle_heartbeat": int(HEARTBEAT_S * 1e9),
        }
        await self._bus.publish(self._next_subject, msgspec.json.encode(body), reply=f"{self._inbox}.{self._requests}")

    async def _receive(self, message: Msg) -> None:
        self._heard = time.monotonic()
        if not is_ack(message.reply):
            self._status(message)
            return
        metadata = message.metadata
        self._delivered += 1
        self._open -= 1
        if metadata.sequence.consumer != self._delivered:
            self.interrupt(f"delivery {self._delivered} of the log stream was lost on its way")
            return
        self._ready.append(Pulled(stream_seq=metadata.sequence.stream, stored_at=metadata.timestamp, message=message))
        self._changed.set()

    def _status(self, message: Msg) -> None:
        headers = message.headers or {}
        status, description = headers.get("Status", ""), headers.get("Description", "")
        if status == "100" or message.subject != f"{self._inbox}.{self._requests}":
            return  # a heartbeat, or the end of a request that is over already
        if status == "408" or (status == "409" and description in ("Batch Completed", "Message Size Exceeds MaxBytes")):
            self._open = 0
            self._expired = status == "408"
            self._changed.set()
        else:
            self.interrupt(f"the log stream gives no more: {status} {description}".rstrip())
