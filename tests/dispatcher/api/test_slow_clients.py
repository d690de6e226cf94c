"""Clients that are silent, slow to send or slow to read: they go, and others are served meanwhile."""

import asyncio
import contextlib
import resource
import select
import socket
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.dispatcher.api.http_server import DEADLINE_S, LOOPS, ServerThread, read_to_end

HEAD = b"POST /run-task HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
ANSWER_BYTES = 16 * 1024 * 1024


@pytest.fixture(params=sorted(LOOPS))
def server(request) -> Iterator[ServerThread]:
    short = {"http_head_timeout_s": 0.3, "http_body_timeout_s": 0.4, "http_idle_timeout_s": 0.5}
    with ServerThread(loop=request.param, http_min_bytes_per_s=1000, **short) as running:
        yield running


def drip(connection: socket.socket, data: Iterator[bytes], *, every_s: float = 0.05) -> bytes:
    """Send piece by piece until there is an answer, and return all of it."""
    for piece in data:
        connection.sendall(piece)
        if select.select([connection], [], [], every_s)[0]:
            break
    return read_to_end(connection)


def bytes_for_ever() -> Iterator[bytes]:
    while True:
        yield b"x"


def gone(server: ServerThread) -> None:
    """Wait until the server has no connections."""
    until(lambda: server.connections == 0)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        select.select([], [], [], 0.01)


def test_a_silent_connection_is_closed_without_a_word(server):
    with server.connect() as connection:
        assert read_to_end(connection) == b""
    gone(server)


def test_a_connection_that_has_been_used_is_closed_when_it_is_idle(server):
    with server.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_to_end(connection).endswith(b"\r\n\r\nwell")
    gone(server)


def test_empty_lines_do_not_keep_a_connection(server):
    with server.connect() as connection, contextlib.suppress(ConnectionError):
        assert drip(connection, iter(lambda: b"\r\n", b"")) == b""
    gone(server)


def test_a_head_that_drips_is_answered_with_408_and_logged(server, log_records):
    def head() -> Iterator[bytes]:
        yield HEAD + b"X-Slow: "
        yield from bytes_for_ever()

    with server.connect() as connection:
        answer = drip(connection, head())
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b'"code":"request_timeout"' in answer
    assert b"the request line and headers did not arrive within 0.3 s" in answer
    assert b"Labelbus-Task-Id" not in answer
    gone(server)
    [record] = [record for record in log_records if record["message"] == "slow clients disconnected"]
    assert record["extra"] == {"head": 1}


@pytest.mark.parametrize("framing", [b"Content-Length: 5000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n1388\r\n"])
def test_a_body_that_drips_is_answered_with_408_and_an_id(server, framing):
    def request() -> Iterator[bytes]:
        yield HEAD + framing
        yield from bytes_for_ever()

    with server.connect() as connection:
        answer = drip(connection, request())
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"Labelbus-Task-Id: " in answer
    assert b"connection: close" in answer
    gone(server)


def test_a_body_that_never_comes_is_answered_with_408_after_the_client_was_told_to_go_on(server):
    with server.connect() as connection:
        connection.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: 10\r\n\r\n")
        answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 408 ")


def test_a_slow_upload_that_makes_progress_is_served(server):
    began = time.monotonic()
    body = b'{"size": 2, "pad": "' + b"x" * 3000 + b'"}'

    def request() -> Iterator[bytes]:
        yield HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        for at in range(0, len(body), 100):
            yield body[at : at + 100]

    with server.connect() as connection:
        answer = drip(connection, request(), every_s=0.03)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert time.monotonic() - began > server.settings.http_body_timeout_s


def test_a_client_that_does_not_read_its_answer_is_disconnected(server):
    body = b'{"size":%d}' % ANSWER_BYTES
    with server.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        until(lambda: server.connections == 1)
        gone(server)


def test_a_client_that_reads_slowly_gets_all_of_its_answer(server):
    body = b'{"size":%d}' % ANSWER_BYTES
    began = time.monotonic()
    length = 0
    with server.connect() as connection:
        connection.sendall(HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        while part := connection.recv(1024 * 1024):
            length += len(part)
            select.select([], [], [], 0.05)  # the pace of this client
    assert length > ANSWER_BYTES
    assert time.monotonic() - began > server.settings.http_body_timeout_s


def test_a_second_head_that_drips_is_answered_after_the_first_request(server):
    with server.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /health HTTP/1.1\r\nHos")
        answer = read_to_end(connection)
    first, second = answer.split(b"HTTP/1.1 ")[1:]
    assert first.startswith(b"200 ")
    assert second.startswith(b"408 ")


# ── many of them ──

SLOW = (b"", b"GET /health HTTP/1.1\r\nX-Slow: ", HEAD + b"Content-Length: 1000\r\n\r\n{")


async def test_thousands_of_slow_clients_do_not_keep_a_good_one_from_its_answer():
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(2000, (soft - 500) // 2)  # both ends are in this process
    with ServerThread(http_head_timeout_s=3.0, http_body_timeout_s=3.0, http_idle_timeout_s=3.0) as server:
        async with contextlib.AsyncExitStack() as stack:
            readers = []
            for number in range(count):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                stack.callback(writer.close)
                writer.write(SLOW[number % len(SLOW)])
                readers.append(reader)
            async with httpx.AsyncClient(base_url=server.url, timeout=DEADLINE_S) as client:
                began = time.monotonic()
                answers = [await client.post("/run-task", json={"size": 1}) for _ in range(20)]
                took_s = time.monotonic() - began
            assert {answer.status_code for answer in answers} == {200}
            assert took_s < 20 * 0.5
            async with asyncio.timeout(DEADLINE_S):
                said = await asyncio.gather(*(reader.read() for reader in readers))
        kinds = [answer.split(b"\r\n")[0] for answer in said]
        assert set(kinds[0::3]) == {b""}
        assert set(kinds[1::3]) | set(kinds[2::3]) == {b"HTTP/1.1 408 Request Timeout"}
