import asyncio

import pytest

from bench.chaos.relay import Relay


async def test_a_relay_that_is_cut_is_silent_and_forwards_what_it_held_up_when_it_heals():
    ended = asyncio.Event()

    async def echo(reader, writer):
        while data := await reader.read(100):
            writer.write(data)
        writer.close()
        await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    relay = Relay(server.sockets[0].getsockname()[1])
    await relay.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    writer.write(b"one")
    assert await asyncio.wait_for(reader.readexactly(3), 30) == b"one"
    relay.cut()
    writer.write(b"two")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.readexactly(3), 0.2)
    relay.heal()
    assert await asyncio.wait_for(reader.readexactly(3), 30) == b"two"
    writer.close()
    await writer.wait_closed()
    await relay.close()
    await asyncio.wait_for(ended.wait(), 30)
    server.close()
