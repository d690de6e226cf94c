"""A client raises labelbus errors only, whatever answers it or does not; both clients, without a gateway."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from labelbus import (
    AsyncClient,
    BadParametersError,
    Client,
    InvalidInputError,
    LabelbusError,
    ProblemError,
    RequestTimeoutError,
    UnavailableError,
)
from labelbus.http_messages import read_task_result

RESULT = {
    "Labelbus-Task-Id": "t",
    "Labelbus-Worker": "w",
    "Labelbus-Route": "hit",
    "Labelbus-Queue-Ms": "1",
    "Labelbus-Load-Ms": "0",
    "Labelbus-Run-Ms": "2",
}


def blocking(url, call, *args, timeout_s=10.0):
    with Client(url, timeout_s=timeout_s) as client:
        return getattr(client, call)(*args)


def asynchronous(url, call, *args, timeout_s=10.0):
    async def ask():
        async with AsyncClient(url, timeout_s=timeout_s) as client:
            return await getattr(client, call)(*args)

    return asyncio.run(ask())


both = pytest.mark.parametrize("ask", [blocking, asynchronous])
RUN: tuple[object, ...] = ("run_task", "sample_task", "a", {})


@contextlib.contextmanager
def answering(status: int, body: bytes, headers: dict[str, str]) -> Iterator[str]:
    """The address of a server that gives this answer to every request."""

    class Stranger(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


@both
@pytest.mark.parametrize(
    ("call", "status", "body", "headers", "said"),
    [
        (RUN, 200, b"<html>welcome</html>", RESULT, "no labelbus gateway"),
        (RUN, 200, b"{}", {}, "no labelbus gateway"),
        (RUN, 200, b"{}", {**RESULT, "Labelbus-Run-Ms": "soon"}, "no labelbus gateway"),
        (RUN, 200, b"\xff", RESULT, "no labelbus gateway"),
        (RUN, 200, b"[" * 100_000, RESULT, "no labelbus gateway"),
        (RUN, 500, b"<html>Internal Server Error</html>", {}, "500 Internal Server Error .* proxy"),
        (RUN, 502, b"", {}, "502 Bad Gateway .* proxy"),
        (RUN, 503, b'{"code": 7}', {}, "503 Service Unavailable .* proxy"),
        (RUN, 404, b"[1]", {}, "404 Not Found .* proxy"),
        (RUN, 302, b"", {"Location": "/elsewhere"}, "302 Found .* proxy"),
        (("embed_texts", "a", ["text"]), 200, b'{"embeddings": "none"}', RESULT, "not one of embed_texts"),
        (("upload_model", "m"), 200, b'{"status": "success"}', {}, "no labelbus gateway"),
        (("workers",), 200, b'{"workers": 3}', {}, "no labelbus gateway"),
        (("workers",), 200, b"", {}, "no labelbus gateway"),
        (("labels",), 200, b"[]", {}, "no labelbus gateway"),
    ],
)
def test_an_answer_that_no_gateway_gives_is_a_problem_of_an_unknown_kind(ask, call, status, body, headers, said):
    with answering(status, body, headers) as url, pytest.raises(ProblemError, match=said) as caught:
        ask(url, *call)
    assert (caught.value.status, caught.value.code) == (status, "unknown")
    assert isinstance(caught.value, LabelbusError)


@both
def test_a_refusal_of_the_gateway_has_its_code_its_task_and_its_worker(ask):
    body = b'{"code": "load_failed", "detail": "no memory", "status": 502, "task_id": "t", "worker": "w-1"}'
    with answering(502, body, {}) as url, pytest.raises(ProblemError) as caught:
        ask(url, *RUN)
    problem = caught.value
    assert (problem.code, problem.detail, problem.task_id, problem.worker) == ("load_failed", "no memory", "t", "w-1")
    assert str(problem) == "no memory (load_failed)"


@both
@pytest.mark.parametrize(
    "call", [RUN, ("embed_texts", "a", ["text"]), ("upload_model", "m"), ("workers",), ("labels",)]
)
@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://nowhere.invalid"])
def test_a_gateway_that_cannot_be_reached_is_unavailable(ask, call, url):
    with pytest.raises(UnavailableError, match=f"no gateway can be reached at {url} .*is it up"):
        ask(url, *call)


@both
def test_a_gateway_that_does_not_answer_in_time_is_a_timeout_that_says_what_may_happen(ask):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(RequestTimeoutError, match=r"may still be carried out; .* longer timeout_s"):
            ask(url, *RUN, timeout_s=0.1)


@both
@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", b"\x15\x03\x01 no HTTP\r\n\r\n"]
)
def test_a_connection_that_breaks_is_unavailable(ask, answer):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def break_off() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(answer)

        breaking = threading.Thread(target=break_off)
        breaking.start()
        with pytest.raises(UnavailableError, match=r"the connection to .* failed .* may have been carried out"):
            ask(f"http://127.0.0.1:{server.getsockname()[1]}", "workers")
        breaking.join()


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    "url",
    ["", "nonsense", "127.0.0.1:8080", "ftp://a", "http://", "http://a:port", "http://a:99999", "http://a:-1", "//a"]
    + ["http://\x00", "http://xn--/"],
)
def test_what_is_no_address_of_a_gateway_is_refused_when_the_client_is_made(kind, url):
    with pytest.raises(InvalidInputError, match=r"is not the address of a gateway .*: give one like http://"):
        kind(url)


@both
def test_a_host_that_no_name_server_could_know_is_found_out_by_the_call(ask):
    with pytest.raises((InvalidInputError, UnavailableError), match=r"is not the address|can be reached"):
        ask("http://" + 300 * "a", "workers")


def endless() -> dict[str, object]:
    parameters: dict[str, object] = {}
    parameters["again"] = parameters
    return parameters


@both
@pytest.mark.parametrize(
    "parameters", [{"set": {1}}, {"nan": float("nan")}, {"half": "\ud800"}, {"bytes": b"x"}, {("a",): 1}, endless()]
)
def test_parameters_that_cannot_be_json_are_bad_parameters(ask, parameters):
    with pytest.raises(BadParametersError, match="cannot be sent as JSON"):
        ask("http://127.0.0.1:1", "run_task", "sample_task", "a", parameters)


def test_every_error_of_a_client_is_in_the_tree():
    for kind in (BadParametersError, InvalidInputError, ProblemError, RequestTimeoutError, UnavailableError):
        assert issubclass(kind, LabelbusError)


@pytest.mark.parametrize(("headers", "pass_size"), [(RESULT, 1), ({**RESULT, "Labelbus-Pass": "63"}, 63)])
def test_a_result_says_how_many_tasks_shared_the_run_also_where_an_older_gateway_does_not(headers, pass_size):
    assert read_task_result(httpx.Response(200, content=b"{}", headers=headers)).pass_size == pass_size
