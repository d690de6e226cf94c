"""`--nats-creds`, against a server in operator mode with an operator, an account and users made here."""

import asyncio
import base64
import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import nkeys
import pytest

from bus.connection import connect
from bus.credentials import read_credentials
from bus.errors import InvalidInputError, LabelbusError, UnavailableError
from bus.settings import BusSettings
from tests.nats_server import LocalNats

DEADLINE_S = 30
LIMITS = {"subs": -1, "data": -1, "payload": -1, "conn": -1, "leaf": -1, "imports": -1, "exports": -1}
STORAGE = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1, "wildcards": True}


class Key:
    """An nkey with its seed, and the JWTs that it issues."""

    def __init__(self, kind: int) -> None:
        self.seed = nkeys.encode_seed(os.urandom(32), kind)
        self._pair = nkeys.from_seed(self.seed)
        self.public = self._pair.public_key.decode()

    def issue(self, subject: "Key", name: str, claims: dict[str, object]) -> str:
        header = {"typ": "JWT", "alg": "ed25519-nkey"}
        body = {"iss": self.public, "sub": subject.public, "name": name, "iat": 1_700_000_000, "jti": name}
        signed = b".".join(encoded(json.dumps(part).encode()) for part in (header, {**body, "nats": claims}))
        return b".".join((signed, encoded(self._pair.sign(signed)))).decode()


def encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def credentials(jwt: str, seed: bytes) -> str:
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        "************************* IMPORTANT *************************\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed.decode()}\n------END USER NKEY SEED------\n"
    )


class Operator:
    """An operator with one account and a system account, and a server that knows them."""

    def __init__(self, folder: Path) -> None:
        self.key, self.account, system = (
            Key(nkeys.PREFIX_BYTE_OPERATOR),
            Key(nkeys.PREFIX_BYTE_ACCOUNT),
            Key(nkeys.PREFIX_BYTE_ACCOUNT),
        )
        limits = {"type": "account", "version": 2, "limits": {**LIMITS, **STORAGE}}
        without_storage = {"type": "account", "version": 2, "limits": {**LIMITS, "wildcards": True}}
        config = folder / "operator.conf"
        config.write_text(
            f"operator: {self.key.issue(self.key, 'operator', {'type': 'operator', 'version': 2})}\n"
            f"system_account: {system.public}\nresolver: MEMORY\nresolver_preload: {{\n"
            f"  {self.account.public}: {self.key.issue(self.account, 'labelbus', limits)}\n"
            f"  {system.public}: {self.key.issue(system, 'SYS', without_storage)}\n}}\n"
        )
        self.server = LocalNats(folder / "nats", "-c", str(config))

    def user(self, *, issuer: Key | None = None) -> str:
        """A credentials file for a new user."""
        user = Key(nkeys.PREFIX_BYTE_USER)
        claims = {"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1}
        return credentials((issuer or self.account).issue(user, "w1", claims), user.seed)


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    it = Operator(tmp_path)
    with contextlib.closing(it.server):
        it.server.start()
        yield it


@pytest.mark.nats
async def test_credentials_open_the_bus_and_are_read_again_at_each_reconnect(operator: Operator, tmp_path: Path):
    file = tmp_path / "w1.creds"
    file.write_text(operator.user())
    back = asyncio.Event()
    async with connect(BusSettings(nats_url=operator.server.url, nats_creds=file), name="w1") as bus:

        async def on_back() -> None:
            back.set()

        async def answer(msg) -> None:
            await bus.publish(msg.reply, b"heard")

        bus.on_reconnect(on_back)
        await bus.subscribe("question", answer)
        assert (await bus.request("question", timeout_s=DEADLINE_S)).data == b"heard"
        for renewed in (operator.user(), "broken by an editor"):
            file.write_text(renewed)
            back.clear()
            await asyncio.to_thread(operator.server.stop)
            await asyncio.to_thread(operator.server.start)
            await asyncio.wait_for(back.wait(), DEADLINE_S)
            assert (await bus.request("question", timeout_s=DEADLINE_S)).data == b"heard"


@pytest.mark.nats
@pytest.mark.parametrize("given", ["of a stranger", "none", "a password"])
async def test_a_server_that_refuses_the_credentials_is_told_with_the_flag(operator: Operator, tmp_path, given):
    settings = BusSettings(nats_url=operator.server.url, nats_connect_timeout_s=1)
    file = tmp_path / "w1.creds"
    file.write_text(operator.user(issuer=Key(nkeys.PREFIX_BYTE_ACCOUNT)))
    flag = "--nats-creds"
    if given == "of a stranger":
        settings = BusSettings(nats_url=operator.server.url, nats_connect_timeout_s=1, nats_creds=file)
    elif given == "a password":
        flag = "--nats-user"
        settings = BusSettings(
            nats_url=operator.server.url, nats_connect_timeout_s=1, nats_user="w1", nats_password="secret"
        )
    with pytest.raises(UnavailableError, match=f"refuses the connection .*Authorization Violation.*{flag}"):
        async with connect(settings, name="w1"):
            raise AssertionError("connected")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"", "NATS USER JWT"),
        (b"not credentials\n" * 3, "NATS USER JWT"),
        (credentials("a.b.c", b"SUAnotaseed").encode(), "not the seed of a NATS key"),
        (credentials("a.b.c", b"").encode(), "USER NKEY SEED"),
        (credentials("no-jwt", Key(nkeys.PREFIX_BYTE_USER).seed).encode(), "NATS USER JWT"),
        (credentials("a.b.c", b"X").split("\n\n")[0].encode(), "USER NKEY SEED"),
    ],
)
async def test_a_file_that_holds_no_credentials_is_refused_with_the_flag_and_without_its_seed(tmp_path, content, said):
    file = tmp_path / "w1.creds"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidInputError, match=f"--nats-creds: .*w1.creds.*{said}") as caught:
        async with connect(BusSettings(nats_creds=file, nats_connect_timeout_s=1), name="w1"):
            raise AssertionError("connected")
    assert isinstance(caught.value, LabelbusError)
    assert "SUA" not in str(caught.value)


def test_a_file_written_on_windows_is_read(tmp_path):
    seed = Key(nkeys.PREFIX_BYTE_USER).seed
    file = tmp_path / "w1.creds"
    file.write_bytes(credentials("a.b.c", seed).replace("\n", "\r\n").encode())
    read = read_credentials(file)
    assert (read.jwt, read.seed) == ("a.b.c", seed.decode())
    assert seed.decode() not in repr(read)
