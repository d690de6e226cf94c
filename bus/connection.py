"""One NATS connection a process, which reconnects for ever and says when it did."""

import asyncio
import math
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import nats
import nats.errors
from loguru import logger
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext

from bus.errors import InvalidInputError, UnavailableError, reason
from bus.nats_errors import NATS_ERRORS, labelbus_error
from bus.settings import BusSettings
from bus.subjects import Subjects

RECONNECT_WAIT_S: Final = 0.2
"""Between attempts: a restarted server has everybody back within a second and is not stormed."""

PING_INTERVAL_S: Final = 10
"""Two missed pings mean a dead link: a silent partition is noticed within half a minute even when idle."""

PENDING_BYTES: Final = 8 * 1024 * 1024
"""What may wait in memory to be sent while the server is away; beyond it `publish` raises."""

RETURN_S: Final = 2.0
"""Everybody is back so long after the server is, or is gone."""

GOODBYE_S: Final = 5.0
"""How long the server may take to say that a subscription has ended."""

FLUSH_TIMEOUT_S: Final = 10.0
NO_RESPONDERS: Final = "503"
"""Status header of the server's note that nobody listens where a message with a reply subject was published."""

Hook = Callable[[], Awaitable[None]]
Callback = Callable[[Msg], Awaitable[None]]

__all__ = ["Bus", "Msg", "Subscription", "connect", "is_no_responders"]


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
        """True while there is a server at the other end."""
        return bool(self.nc.is_connected)

    @property
    def unsettled(self) -> bool:
        """True while the server is away and `RETURN_S` longer: that others are not there says nothing of them yet."""
        return time.monotonic() < self._settled_at

    @property
    def max_payload_bytes(self) -> int:
        """The largest message that this server takes."""
        return int(self.nc.max_payload)

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
        """End a subscription at once, without waiting for messages under way; a closed connection is no error."""
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
        """Await `hook` each time the server is lost."""
        self._on_disconnect.append(hook)

    def on_reconnect(self, hook: Hook) -> None:
        """Await `hook` each time the server is back; subscriptions are in place again by then."""
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


class _PatientClient(Client):
    """nats-py's client, which does not fall deaf when the answer to a flush comes after its timeout.

    nats-py sets the result of a future that was cancelled, and what that raises ends the loop that reads: a
    connection that looks sound and hears nothing, until its own pings are missed half a minute later.
    """

    async def _process_pong(self) -> None:
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()


@asynccontextmanager
async def connect(settings: BusSettings, *, name: str) -> AsyncIterator[Bus]:
    """A connection called `name` (shown by `nats server report connections`), flushed and closed at the end.

    Raises `UnavailableError` if no server answers within `nats_connect_timeout_s`.
    """
    nc = _PatientClient()
    bus: Bus | None = None

    async def disconnected() -> None:
        if bus is not None:
            await bus._disconnected()  # noqa: SLF001

    async def reconnected() -> None:
        if bus is not None:
            await bus._reconnected()  # noqa: SLF001

    try:
        async with asyncio.timeout(settings.nats_connect_timeout_s):
            await nc.connect(
                servers=[url.strip() for url in settings.nats_url.split(",")],
                name=name,
                error_cb=_log_error,
                disconnected_cb=disconnected,
                reconnected_cb=reconnected,
                max_reconnect_attempts=-1,
                reconnect_time_wait=RECONNECT_WAIT_S,  # type: ignore[arg-type]  # seconds; a fraction is fine
                ping_interval=PING_INTERVAL_S,
                pending_size=PENDING_BYTES,
                user=settings.nats_user or None,
                password=settings.nats_password or None,
                user_credentials=str(settings.nats_creds) if settings.nats_creds else None,
                tls=_tls(settings),
            )
    except TimeoutError as exc:
        await _close(nc)
        raise UnavailableError(
            f"no NATS server answered at {settings.nats_url} within {settings.nats_connect_timeout_s:g} s: is it "
            "running, and is --nats-url (LABELBUS_NATS_URL) right?"
        ) from exc
    except ValueError as exc:
        raise InvalidInputError(f"--nats-url: {settings.nats_url} is no address of a NATS server: {exc}") from exc
    except nats.errors.Error as exc:
        await _close(nc)
        raise UnavailableError(f"NATS at {settings.nats_url or 'no address'} refused the connection: {exc}") from exc
    bus = Bus(nc, settings.subjects, replicas=settings.nats_replicas)
    try:
        yield bus
    finally:
        if nc.is_connected:
            await _flush(nc)
        await _close(nc)


def _tls(settings: BusSettings) -> ssl.SSLContext | None:
    if settings.nats_ca is None:
        return None
    try:
        return ssl.create_default_context(cafile=settings.nats_ca)
    except OSError as exc:
        raise InvalidInputError(f"--nats-ca: {settings.nats_ca} cannot be read: {exc}") from exc


async def _flush(nc: Client) -> None:
    try:
        await nc.flush(timeout=2)
    except (TimeoutError, nats.errors.Error) as exc:
        logger.bind(error=str(exc)).warning("nats flush failed at the end; the last messages may be lost")


async def _close(nc: Client) -> None:
    """Close, whatever there is to close: nats-py writes what is pending also if its transport is gone or was never."""
    with suppress(AssertionError, RuntimeError, OSError):
        await nc.close()


async def _run_hooks(hooks: list[Hook]) -> None:
    for hook in hooks:
        try:
            await hook()
        except Exception:  # noqa: BLE001  # one hook's fault must not keep the others from running
            logger.exception("connection hook failed")


async def _log_error(exc: Exception) -> None:
    if isinstance(exc, ConnectionError | nats.errors.UnexpectedEOF | OSError):
        logger.bind(error=reason(exc)).debug("nats connection error")
    else:
        logger.bind(error=reason(exc)).warning("nats error")
