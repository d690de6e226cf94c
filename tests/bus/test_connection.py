"""The connection: refused in words, and back by itself."""

import asyncio
import os
import signal

import pytest

from bus.connection import RETURN_S, Bus, connect
from bus.errors import InvalidInputError, RequestTimeoutError, UnavailableError
from bus.settings import BusSettings
from tests.nats_server import LocalNats

DEADLINE_S = 30


@pytest.mark.parametrize(
    "url", ["nats://127.0.0.1:1", "nats://127.0.0.1:1,nats://127.0.0.1:2", "nats://nowhere.invalid:4222"]
)
async def test_a_server_that_is_not_there_is_unavailable_in_words(url):
    with pytest.raises(UnavailableError, match=r"no NATS server answered at .* is it running"):
        async with connect(BusSettings(nats_url=url, nats_connect_timeout_s=0.3), name="t"):
            raise AssertionError("connected")


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:4222", "nats://127.0.0.1:port"])
async def test_an_address_that_is_none_is_refused_in_words(url):
    with pytest.raises((UnavailableError, InvalidInputError)):
        async with connect(BusSettings(nats_url=url, nats_connect_timeout_s=0.3), name="t"):
            raise AssertionError("connected")


async def test_a_certificate_that_cannot_be_read_is_named(tmp_path):
    settings = BusSettings(nats_ca=tmp_path / "none.pem")
    with pytest.raises(InvalidInputError, match=r"--nats-ca: .*none\.pem cannot be read"):
        async with connect(settings, name="t"):
            raise AssertionError("connected")


async def connected(bus: Bus) -> bool:
    """Asked again each time, which a type checker would not expect of an attribute."""
    return bus.connected


async def unsettled(bus: Bus) -> bool:
    """Asked again each time."""
    return bus.unsettled


@pytest.mark.nats
async def test_a_restart_of_the_server_is_told_to_every_hook_and_one_that_fails_keeps_none_from_running(
    nats: LocalNats,
):
    told: list[str] = []
    lost, back = asyncio.Event(), asyncio.Event()
    async with connect(BusSettings(nats_url=nats.url), name="t") as bus:

        async def fails() -> None:
            raise ValueError("a hook is wrong")

        async def on_lost() -> None:
            told.append("lost")
            lost.set()

        async def on_back() -> None:
            told.append("back")
            back.set()

        for register, hook in ((bus.on_disconnect, on_lost), (bus.on_reconnect, on_back)):
            register(fails)
            register(hook)
        assert await connected(bus)
        assert bus.max_payload_bytes == 1024 * 1024
        await asyncio.to_thread(nats.stop)
        await asyncio.wait_for(lost.wait(), DEADLINE_S)
        assert not await connected(bus)
        await asyncio.to_thread(nats.start)
        await asyncio.wait_for(back.wait(), DEADLINE_S)
        assert (await connected(bus), bus.reconnects, told) == (True, 1, ["lost", "back"])


@pytest.mark.nats
async def test_what_was_published_last_is_on_its_way_when_the_connection_ends(bus, settings):
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def hear(msg):
        heard.put_nowait(msg.data)

    await bus.subscribe(f"{settings.prefix}.last", hear)
    await bus.settle()
    async with connect(settings, name="short") as short:
        await short.publish(f"{settings.prefix}.last", b"words")
    assert await asyncio.wait_for(heard.get(), DEADLINE_S) == b"words"


@pytest.mark.nats
async def test_an_answer_to_a_flush_that_comes_after_its_timeout_leaves_the_connection_hearing(nats: LocalNats):
    async with connect(BusSettings(nats_url=nats.url), name="t") as bus:
        assert nats._process is not None
        nats._process.send_signal(signal.SIGSTOP)
        # not before all its threads have stopped, which takes no time worth a thread
        os.waitid(os.P_PID, nats._process.pid, os.WSTOPPED)  # noqa: ASYNC222
        try:
            with pytest.raises(RequestTimeoutError):
                await bus.flush(timeout_s=0.2)
        finally:
            nats._process.send_signal(signal.SIGCONT)
        await bus.flush()
        assert bus.reconnects == 0


@pytest.mark.nats
async def test_just_after_the_return_of_the_server_nothing_is_settled(nats: LocalNats):
    async with connect(BusSettings(nats_url=nats.url), name="t") as bus:
        back = asyncio.Event()

        async def on_back() -> None:
            back.set()

        bus.on_reconnect(on_back)
        assert not await unsettled(bus)
        nats.stop()
        nats.start()
        async with asyncio.timeout(DEADLINE_S):
            await back.wait()
            assert await unsettled(bus)
            await asyncio.sleep(RETURN_S)
        assert not await unsettled(bus)


@pytest.mark.nats
async def test_a_connection_to_a_server_that_hangs_ends_all_the_same(nats: LocalNats):
    async with asyncio.timeout(DEADLINE_S), connect(BusSettings(nats_url=nats.url), name="t") as bus:
        assert nats._process is not None
        nats._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, nats._process.pid, os.WSTOPPED)  # noqa: ASYNC222  # as above
        payload = b"x" * bus.max_payload_bytes
        for _ in range(5):  # more than the sockets take, less than the buffer
            await bus.publish("some.subject", payload)
    nats._process.send_signal(signal.SIGCONT)
