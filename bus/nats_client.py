"""One nats-py client that reconnects for ever: opened, or refused in words, and closed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import nats.errors
from loguru import logger
from nats.aio.client import Client

from bus.credentials import CredentialsFile, tls_context
from bus.errors import InvalidInputError, UnavailableError, reason
from bus.log_throttle import ThrottledLogger
from bus.nats_errors import NATS_ERRORS
from bus.settings import BusSettings

RECONNECT_WAIT_S: Final = 0.2
"""Pause between attempts: after a restart of the server every client is back within a second, without a storm."""

PING_INTERVAL_S: Final = 10
"""Two missed pings mean a dead link: a silent partition is noticed within half a minute even when idle."""

PENDING_BYTES: Final = 8 * 1024 * 1024
"""Size of the buffer of unsent messages while the server is away; when it is full, publishing fails."""

CLOSE_S: Final = 5.0
_FLUSH_S: Final = 2
_REFUSALS: Final = ("authorization", "authentication", "permissions")


class PatientClient(Client):
    """nats-py's client, which goes on reading when the answer to a flush comes after the flush's timeout.

    nats-py sets the result of a future that was cancelled, and the exception ends its reading loop: a connection that
    looks sound but receives nothing, until its own pings are missed half a minute later.
    """

    async def _process_pong(self) -> None:
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()


@asynccontextmanager
async def nats_client(
    settings: BusSettings,
    *,
    name: str,
    on_disconnect: Callable[[], Awaitable[None]],
    on_reconnect: Callable[[], Awaitable[None]],
) -> AsyncIterator[PatientClient]:
    """Yield a connected client; at the end send what is pending and close it.

    Raises `UnavailableError` if no server accepts the connection within `nats_connect_timeout_s`, `InvalidInputError`
    with the flag of an address, a credentials file or a certificate that cannot be used.
    """
    credentials = CredentialsFile(settings.nats_creds) if settings.nats_creds else None
    client = PatientClient()
    errors = _ErrorLog()
    try:
        async with asyncio.timeout(settings.nats_connect_timeout_s):
            await client.connect(
                servers=[url.strip() for url in settings.nats_url.split(",")],
                name=name,
                error_cb=errors.add,
                disconnected_cb=on_disconnect,
                reconnected_cb=on_reconnect,
                max_reconnect_attempts=-1,
                reconnect_time_wait=RECONNECT_WAIT_S,  # type: ignore[arg-type]  # seconds; a fraction is fine
                ping_interval=PING_INTERVAL_S,
                pending_size=PENDING_BYTES,
                user=settings.nats_user or None,
                password=settings.nats_password or None,
                signature_cb=credentials.sign if credentials else None,
                user_jwt_cb=credentials.jwt if credentials else None,
                tls=tls_context(settings),
            )
    except TimeoutError as exc:
        await _close(client)
        if errors.refusal:
            raise UnavailableError(
                f"the NATS server at {settings.nats_url} refuses the connection ({errors.refusal}): "
                f"{_right_credentials(settings)}"
            ) from exc
        raise UnavailableError(
            f"no NATS server answered at {settings.nats_url} within {settings.nats_connect_timeout_s:g} s: is it "
            "running, and is --nats-url (LABELBUS_NATS_URL) right?"
        ) from exc
    except ValueError as exc:
        raise InvalidInputError(f"--nats-url: {settings.nats_url} is not the address of a NATS server: {exc}") from exc
    except nats.errors.Error as exc:
        await _close(client)
        raise UnavailableError(f"NATS at {settings.nats_url or 'no address'} refused the connection: {exc}") from exc
    errors.connected = True
    try:
        yield client
    finally:
        if client.is_connected:
            try:
                await client.flush(timeout=_FLUSH_S)
            except NATS_ERRORS as exc:
                logger.bind(error=reason(exc)).warning("nats flush failed at the end; the last messages may be lost")
        await _close(client)
        errors.log.flush()


async def _close(client: Client) -> None:
    # nats-py writes what is pending even if its transport is gone or never was, and waits for a server that hangs.
    try:
        with suppress(AssertionError, RuntimeError, ConnectionError):
            async with asyncio.timeout(CLOSE_S):
                await client.close()
    except (TimeoutError, OSError):
        writer: asyncio.StreamWriter | None = getattr(client._transport, "_io_writer", None)  # noqa: SLF001
        if writer is not None:
            writer.transport.abort()
            await asyncio.sleep(0)  # the event loop closes the socket


class _ErrorLog:
    """nats-py's asynchronous errors: logged, and before the first connection searched for the server's refusal."""

    def __init__(self) -> None:
        self.log = ThrottledLogger()
        self.connected = False
        self.refusal = ""
        """The latest answer of a server that does not accept these credentials; empty if there was none."""

    async def add(self, exc: Exception) -> None:
        if isinstance(exc, OSError | nats.errors.UnexpectedEOF):
            logger.bind(error=reason(exc)).debug("nats connection error")
            return
        if not self.connected and any(word in str(exc).lower() for word in _REFUSALS):
            self.refusal = reason(exc).removeprefix("nats: ").strip("'")
        self.log.warning("nats error", error=reason(exc))


def _right_credentials(settings: BusSettings) -> str:
    if settings.nats_creds:
        return f"are the credentials in --nats-creds (LABELBUS_NATS_CREDS) {settings.nats_creds} for this server?"
    if settings.nats_user or settings.nats_password:
        return "are --nats-user (LABELBUS_NATS_USER) and --nats-password (LABELBUS_NATS_PASSWORD) right?"
    return "it asks for credentials; give --nats-creds, or --nats-user and --nats-password"
