import asyncio

import pytest

from bench.http_load import Leg, answer_size, request_bytes, run_leg

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ncontent-length: 7\r\n\r\n"


@pytest.mark.parametrize(
    ("buffer", "size"),
    [
        (b"", None),
        (b"HTTP/1.1 200 OK\r\nContent-Le", None),
        (ANSWER, len(ANSWER) + 7),
        (ANSWER + b'{"a":1}', len(ANSWER) + 7),
        (b"HTTP/1.1 204 No Content\r\n\r\n", len(b"HTTP/1.1 204 No Content\r\n\r\n")),
    ],
)
def test_the_size_of_an_answer_is_known_once_its_head_is_there(buffer, size):
    assert answer_size(buffer) == size


async def test_the_generator_counts_answers_that_come_in_pieces():
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = request_bytes("/run-task", b"{}")
        while await reader.read(len(request)) == request:
            for piece in (ANSWER[:20], ANSWER[20:], b'{"a"', b":1}"):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        result = await run_leg(Leg(port=port, path="/run-task", bodies=("{}",), connections=3, seconds=0.2))
    assert result.statuses["200"] == len(result.latencies_ms) > 3
    assert result.statuses["none"] == 0


async def test_the_bodies_are_sent_in_turn_on_all_connections():
    got: list[bytes] = []
    size = len(request_bytes("/run-task", b"0"))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.read(size):
            got.append(request[-1:])
            writer.write(ANSWER + b'{"a":1}')
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await run_leg(Leg(port=port, path="/run-task", bodies=("0", "1", "2"), connections=2, seconds=0.2))
    counts = [got.count(body) for body in (b"0", b"1", b"2")]
    assert max(counts) - min(counts) <= 1
    assert min(counts) > 1
