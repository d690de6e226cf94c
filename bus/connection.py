"""One NATS connection a process, which reconnects for ever, tells when it did, and raises labelbus errors only."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import nats.errors
from loguru import logger
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import Header

from bus.errors import reason
from bus.nats_client import PENDING_BYTES, nats_client
from bus.nats_errors import NATS_ERRORS, labelbus_error, translated
from bus.settings import BusSettings
from bus.subjects import Subjects

RETURN_S: Final = 2.0
"""Grace after a reconnect: whoever is absent after it counts as gone."""

GOODBYE_S: Final = 5.0
"""Time that the server may take to confirm that a subscription has ended."""

FLUSH_TIMEOUT_S: Final = 10.0
NO_RESPONDERS: Final = "503"
"""Status header of the server's note that nobody listens where a message with a reply subject was published."""

Hook = Callable[[], Awaitable[None]]
Callback = Callable[[Msg], Awaitable[None]]

__all__ = ["PENDING_BYTES", "Bus", "Msg", "Subscription", "connect", "is_no_responders"]


def is_no_responders(msg: Msg) -> bool:
    """Tell whether this message is the server's note that nobody listens where its question was published."""
    return msg.headers is not None and msg.headers.get("Status") == NO_RESPONDERS


class Bus:
    """A connection and the names on it. Made by `connect`.

    Its methods raise labelbus errors only: `UnavailableError` (NATS is away and the buffer of unsent messages is
    full, or the connection is closed), its subclasses `NoRespondersError` and `RequestTimeoutError` from `request`,
    `TooLargeError` (over the server's max_payload) and `BadNameError` (a subject or header that NATS does not allow).
    """

    def __init__(self, nc: Client, subjects: Subjects, *, replicas: int = 1) -> None:
        self.nc: Final = nc
        self.js: Final[JetStreamContext] = nc.jetstream()
        self.subjects: Final = subjects
        self.replicas: Final = replicas
        self.reconnects = 0
        self._settled_at = -math.inf
        self._on_disconnect: list[Hook] = []
        self._on_reconnect: list[Hook] = []

    @property
    def connected(self) -> bool:
        """Tell whether a server is connected now."""
        return bool(self.nc.is_connected)

    @property
    def unsettled(self) -> bool:
        """Tell whether the server is away, or came back less than `RETURN_S` ago: absent peers may still return."""
        return time.monotonic() < self._settled_at

    @property
    def max_payload_bytes(self) -> int:
        """The size of the largest message that the server takes."""
        return int(self.nc.max_payload)

    @property
    def server_version(self) -> str:
        """The version of the connected server."""
        return str(self.nc.connected_server_version)

    async def publish(
        self, subject: str, payload: bytes = b"", *, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Publish a message; while the server is away it waits in a buffer of `PENDING_BYTES` for the reconnect."""
        try:
            await self.nc.publish(subject, payload, reply, headers)
        except nats.errors.Error as exc:
            raise labelbus_error(exc, f"could not publish to {subject}") from exc

    async def subscribe(self, subject: str, callback: Callback, *, queue: str = "") -> Subscription:
        """Have `callback` awaited with each message on the subject, one message after the other.

        With `queue` each message goes to one member of that queue group. End the subscription with `leave`, which
        loses no message that the server has sent, or with `unsubscribe`.
        """
        try:
            return await self.nc.subscribe(subject, queue=queue, cb=callback)
        except nats.errors.Error as exc:
            raise labelbus_error(exc, f"could not subscribe to {subject}") from exc

    async def request(
        self, subject: str, payload: bytes = b"", *, timeout_s: float, headers: dict[str, str] | None = None
    ) -> Msg:
        """Publish a message and return the first answer to it.

        Raises `NoRespondersError` if nobody listens on the subject, `RequestTimeoutError` if no answer came within
        `timeout_s`: whoever heard the request may be working on it all the same.
        """
        try:
            return await self.nc.request(subject, payload, timeout=timeout_s, headers=headers)
        except NATS_ERRORS as exc:
            raise labelbus_error(exc, f"request to {subject} failed") from exc

    async def flush(self, *, timeout_s: float = FLUSH_TIMEOUT_S) -> None:
        """Return when the server has processed what was sent so far; `RequestTimeoutError` after `timeout_s`.

        While the server is away, return at once: what was sent waits for the reconnect.
        """
        try:
            await self.nc.flush(timeout=timeout_s)  # type: ignore[arg-type]  # seconds; a fraction is fine
        except NATS_ERRORS as exc:
            raise labelbus_error(exc, "could not flush the connection to NATS") from exc

    async def store(
        self, subject: str, payload: bytes, *, timeout_s: float, message_id: str = "", ttl_s: int | None = None
    ) -> None:
        """Publish a message and return when a stream has stored it.

        A stream drops a message whose `message_id` it has stored before. `ttl_s`, in whole seconds, is the time after
        which the stream forgets the message. Raises `NotFoundError` if no stream keeps the subject.
        """
        headers = {Header.MSG_ID.value: message_id} if message_id else None
        with translated(f"could not store on {subject}"):
            await self.js.publish(subject, payload, timeout=timeout_s, headers=headers, msg_ttl=ttl_s)

    async def acknowledge(self, msg: Msg) -> None:
        """Tell the stream that a message it delivered has been dealt with."""
        with translated("could not acknowledge a message"):
            await msg.ack()

    async def settle(self) -> None:
        """Return when the server knows every subscription that was made so far; raises as `flush` does.

        One `flush` is not enough: nats-py writes its PING at once, past a SUB that still waits for the task which
        sends (seen 4 times in 400). The first flush lets that task run, the second comes after what it sent.
        """
        await self.flush()
        await self.flush()

    def new_inbox(self) -> str:
        """Return a subject of this connection alone, to which answers can be sent."""
        return self.nc.new_inbox()

    async def unsubscribe(self, subscription: Subscription) -> None:
        """End a subscription at once, without waiting for messages in flight; a closed connection is no error."""
        with suppress(nats.errors.Error):  # the connection ended first, and the subscription with it
            await subscription.unsubscribe()

    async def leave(self, subscription: Subscription) -> None:
        """End a subscription without losing messages: what the server has sent is still handed to its callback."""
        try:
            async with asyncio.timeout(GOODBYE_S if self.connected else 0):
                # Asked for ahead of `drain`, whose PING overtakes its own UNSUB: messages between would be lost.
                await self.nc._send_unsubscribe(subscription._id)  # noqa: SLF001
                await self.nc.flush()
                await subscription.drain()  # type: ignore[no-untyped-call]
        except NATS_ERRORS as exc:
            # The server is away. nats-py has closed the subscription, but would renew it at the reconnect.
            self.nc._remove_sub(subscription._id)  # noqa: SLF001
            logger.bind(reason=reason(exc)).debug("subscription ended while nats was away")

    def on_disconnect(self, hook: Hook) -> None:
        """Have `hook` awaited each time the server is lost."""
        self._on_disconnect.append(hook)

    def on_reconnect(self, hook: Hook) -> None:
        """Have `hook` awaited each time the server is back; subscriptions are in place again by then."""
        self._on_reconnect.append(hook)

    async def _disconnected(self) -> None:
        if not self.nc.is_closed:
            self._settled_at = math.inf
            logger.warning("nats disconnected")
            await _run_hooks(self._on_disconnect)

    async def _reconnected(self) -> None:
        self.reconnects += 1
        self._settled_at = time.monotonic() + RETURN_S
        url = self.nc.connected_url
        logger.bind(server=url.netloc if url else "", reconnects=self.reconnects).info("nats reconnected")
        await _run_hooks(self._on_reconnect)


@asynccontextmanager
async def connect(settings: BusSettings, *, name: str) -> AsyncIterator[Bus]:
    """Yield a connection called `name` (`nats server report connections` shows it), flushed and closed at the end.

    Raises `UnavailableError` if no server accepts the connection within `nats_connect_timeout_s`, `InvalidInputError`
    with the flag of an address, a credentials file or a certificate that cannot be used.
    """
    bus: Bus | None = None

    async def disconnected() -> None:
        if bus is not None:
            await bus._disconnected()  # noqa: SLF001

    async def reconnected() -> None:
        if bus is not None:
            await bus._reconnected()  # noqa: SLF001

    async with nats_client(settings, name=name, on_disconnect=disconnected, on_reconnect=reconnected) as nc:
        bus = Bus(nc, settings.subjects, replicas=settings.nats_replicas)
        yield bus


async def _run_hooks(hooks: list[Hook]) -> None:
    for hook in hooks:
        try:
            await hook()
        except Exception:  # noqa: BLE001  # one hook's fault must not keep the others from running
            logger.exception("connection hook failed")
