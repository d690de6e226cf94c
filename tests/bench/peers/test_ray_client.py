import asyncio
import json

import httpx
import pytest

from bench.peers.ray_client import MODEL_HEADER, RayClient, task_result
from bus.errors import ProblemError, UnavailableError

RAN = {"label": "a", "replica": "replica-1", "load_ms": 200.5, "run_ms": 5.1}


def answer(status: int, content: bytes) -> httpx.Response:
    return httpx.Response(status, content=content)


def test_an_answer_is_a_result_with_the_replica_as_worker():
    found = task_result(answer(200, json.dumps(RAN).encode()))
    assert (found.worker, found.load_ms, found.run_ms, found.task_id, found.route) == ("replica-1", 200.5, 5.1, "", "")


@pytest.mark.parametrize(
    ("status", "content", "code"),
    [(500, b"Internal Server Error", "http_500"), (200, b"hello", "unknown"), (200, b'{"label": "a"}', "unknown")],
)
def test_any_other_answer_is_a_problem(status, content, code):
    with pytest.raises(ProblemError) as caught:
        task_result(answer(status, content))
    assert caught.value.code == code


async def test_the_label_is_the_header_that_ray_routes_by():
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        body = json.dumps(RAN).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with RayClient(f"http://127.0.0.1:{port}", timeout_s=10.0, connections=1) as client:
            await client.run_task("sample_task", "tenant/a", {"sleep_ms": 5})
    (head,) = requests
    assert f"{MODEL_HEADER}: tenant/a".encode() in head


async def test_a_server_that_is_gone_is_an_error_of_labelbus():
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with RayClient(f"http://127.0.0.1:{port}", timeout_s=10.0, connections=1) as client:
        with pytest.raises(UnavailableError):
            await client.run_task("sample_task", "a", {})
