"""Credentials for NATS from the files that the settings name, each fault told with its flag.

A credentials file, as `nsc generate creds` writes it, has two parts between lines of dashes: the user's JWT and the
seed of the user's key, which signs what the server asks to have signed. nats-py's own reader never ends on a file
without a JWT, so the file is read here.
"""

import base64
import re
import ssl
from pathlib import Path

import msgspec
import nkeys
from loguru import logger

from bus.errors import InvalidInputError, reason
from bus.settings import BusSettings

_PART = r"-+BEGIN {0}-+\s+(\S+)\s+-+END {0}-+"
_JWT = re.compile(_PART.format("NATS USER JWT"))
_SEED = re.compile(_PART.format("USER NKEY SEED"))
_JWT_PARTS = 3


class Credentials(msgspec.Struct, frozen=True):
    """The JWT of a NATS user and the seed of its key."""

    jwt: str
    seed: str

    def __repr__(self) -> str:
        return "Credentials(…)"  # a seed belongs into no log

    def sign(self, nonce: str) -> bytes:
        """Return the signature of the server's nonce in base64, as the NATS protocol wants it."""
        return base64.b64encode(nkeys.from_seed(self.seed.encode()).sign(nonce.encode()))


class CredentialsFile:
    """A credentials file, read again for each connection, so that it can be renewed while a component runs.

    A file that cannot be read any more is logged, and the credentials read before it are used again.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._latest = read_credentials(file)

    def sign(self, nonce: str) -> bytes:
        """Read the file again and sign the server's nonce; nats-py calls this before `jwt`."""
        try:
            self._latest = read_credentials(self._file)
        except InvalidInputError as exc:
            logger.bind(reason=str(exc)).warning("nats credentials not read again; using those read before")
        return self._latest.sign(nonce)

    def jwt(self) -> bytes:
        """Return the JWT of the user that `sign` signed for."""
        return self._latest.jwt.encode()


def read_credentials(file: Path) -> Credentials:
    """Read and check a credentials file; raises `InvalidInputError`, which never quotes what is in the file."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidInputError(f"--nats-creds: {file} cannot be read: {reason(exc)}") from exc
    jwt, seed = _JWT.search(text), _SEED.search(text)
    if jwt is None or jwt[1].count(".") != _JWT_PARTS - 1:
        raise _incomplete(file, "NATS USER JWT")
    if seed is None:
        raise _incomplete(file, "USER NKEY SEED")
    try:
        nkeys.from_seed(seed[1].encode())
    except Exception:  # noqa: BLE001  # nkeys raises binascii's, struct's and its own, some with the seed in them
        raise InvalidInputError(f"--nats-creds: the seed in {file} is not the seed of a NATS key") from None
    return Credentials(jwt=jwt[1], seed=seed[1])


def _incomplete(file: Path, part: str) -> InvalidInputError:
    return InvalidInputError(
        f"--nats-creds: {file} is not a file of NATS credentials, as it has no valid part {part}; "
        "`nsc generate creds` writes one"
    )


def tls_context(settings: BusSettings) -> ssl.SSLContext | None:
    """Return the context for TLS with the certificate authority of the settings; None if they name none."""
    if settings.nats_ca is None:
        return None
    try:
        return ssl.create_default_context(cafile=settings.nats_ca)
    except OSError as exc:
        raise InvalidInputError(f"--nats-ca: {settings.nats_ca} cannot be read: {exc}") from exc
