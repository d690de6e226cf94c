"""Bodies over the limit, and other requests that are refused before they were read: the client gets its answer."""

import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import httpx
import pytest
import requests

from dispatcher.api import protocol
from tests.dispatcher.api.http_server import DEADLINE_S, LOOPS, ServerThread, read_to_end

LARGE = 40 * 1024 * 1024
PIECE = b"x" * 65536
JSON = {"Content-Type": "application/json"}
Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(params=sorted(LOOPS))
def server(request) -> Iterator[ServerThread]:
    with ServerThread(loop=request.param, max_body_bytes=1024 * 1024) as running:
        yield running


def pieces() -> Iterator[bytes]:
    for _ in range(LARGE // len(PIECE)):
        yield PIECE


def with_urllib(url: str, headers: dict[str, str], *, chunked: bool) -> Answer:
    data = pieces() if chunked else PIECE * (LARGE // len(PIECE))
    request = urllib.request.Request(url, data=data, headers=headers, method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=DEADLINE_S)
    with refused.value as error:
        return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()


def with_httpx(url: str, headers: dict[str, str], *, chunked: bool) -> Answer:
    content = pieces() if chunked else PIECE * (LARGE // len(PIECE))
    answer = httpx.post(url, content=content, headers=headers, timeout=DEADLINE_S)
    return answer.status_code, dict(answer.headers), answer.content


def with_requests(url: str, headers: dict[str, str], *, chunked: bool) -> Answer:
    data = pieces() if chunked else PIECE * (LARGE // len(PIECE))
    answer = requests.post(url, data=data, headers=headers, timeout=DEADLINE_S)
    return answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.content


@pytest.mark.parametrize("chunked", [False, True], ids=["Content-Length", "chunked"])
@pytest.mark.parametrize("send", [with_urllib, with_httpx, with_requests])
@pytest.mark.parametrize(("content_type", "status"), [("application/json", 413), ("text/plain", 415)])
def test_a_client_that_sends_before_it_reads_gets_its_answer(
    server, send: Callable[..., Answer], chunked, content_type, status
):
    code, headers, body = send(f"{server.url}/run-task", {"Content-Type": content_type}, chunked=chunked)
    problem = json.loads(body)
    assert (code, problem["status"], headers["connection"]) == (status, status, "close")
    assert headers["content-type"] == "application/problem+json"
    assert problem["task_id"] == headers["labelbus-task-id"]


def test_a_length_over_the_limit_is_refused_before_the_client_was_told_to_go_on(server):
    head = b"POST /run-task HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
    with server.connect() as connection:
        connection.sendall(head + b"Content-Length: 5000000\r\n\r\n")
        answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.count(b"connection: close\r\n") == 1
    assert b"the body has more than 1,048,576 bytes" in answer


def test_a_client_that_waits_to_be_told_to_go_on_is_told(server):
    head = b"POST /run-task HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
    with server.connect() as connection:
        connection.sendall(head + b"Content-Length: 10\r\nConnection: close\r\n\r\n")
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b'{"size":3}')
        assert read_to_end(connection).endswith(b"\r\n\r\nxxx")


def test_an_answer_to_a_whole_request_leaves_the_connection_open(server):
    with httpx.Client(base_url=server.url, timeout=DEADLINE_S) as client:
        for _ in range(3):
            assert client.post("/nowhere", json={}).status_code == 404
            assert client.post("/run-task", json={"size": 1, "pad": "x" * 500_000}).status_code == 200
        assert server.connections == 1


def test_a_client_that_sends_on_without_end_is_cut_off(server, monkeypatch):
    monkeypatch.setattr(protocol, "LINGER_BYTES", 1024 * 1024)
    head = b"POST /run-task HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    sent = 0
    with server.connect() as connection:
        connection.sendall(head)
        with contextlib.suppress(ConnectionError):
            while sent < 1000 * LARGE:
                sent += connection.send(b"10000\r\n" + PIECE + b"\r\n")
    assert sent < 1000 * LARGE


def test_requests_after_one_that_was_refused_are_not_run(server):
    refused = b"POST /run-task HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(refused)
        answer = connection.recv(65536)
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 10)
        answer += read_to_end(connection)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(b"HTTP/1.1 415 ")
