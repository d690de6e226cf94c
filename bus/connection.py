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
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext

from bus.errors import InvalidInputError, UnavailableError, reason
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

Hook = Callable[[], Awaitable[None]]


class Bus:
    """A connection and the names on it. Made by `connect`."""

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

    async def settle(self) -> None:
        """Return when the server knows every subscription that was made so far; raises nats-py's timeout error.

        One `flush` does not say that: nats-py writes its PING at once, past a SUB that still waits for the task which
        sends (seen 4 times in 400). The first one lets that task run, the second one comes after what it sent.
        """
        await self.nc.flush()
        await self.nc.flush()

    async def leave(self, subscription: Subscription) -> None:
        """End a subscription without cutting off: what the server has already sent is still handed to its callback."""
        try:
            async with asyncio.timeout(GOODBYE_S if self.connected else 0):
                # Asked for ahead of `drain`, whose PING overtakes its own UNSUB: what came between would be lost.
                await self.nc._send_unsubscribe(subscription._id)  # noqa: SLF001
                await self.nc.flush()
                await subscription.drain()  # type: ignore[no-untyped-call]
        except (nats.errors.Error, TimeoutError) as exc:
            # The server is away. nats-py has closed the subscription but would make it again with the connection.
            self.nc._remove_sub(subscription._id)  # noqa: SLF001
            logger.bind(reason=reason(exc)).debug("subscription left without a goodbye")

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
