import resource
import socket
import time

import pytest

from dispatcher.api.server import MAX_OPEN_FILES, raise_limit_of_open_files
from tests.dispatcher.api.http_server import LOOPS, ServerThread


def test_the_process_may_open_as_many_files_as_the_system_allows():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
        raise_limit_of_open_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (wanted, hard)
        raise_limit_of_open_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (wanted, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("loop", sorted(LOOPS))
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="silent"),
        pytest.param(b"GET /health HTTP/1.1\r\nX-Slow: ", id="in its head"),
        pytest.param(b"POST /run-task HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n", id="lingering"),
    ],
)
def test_a_client_that_is_slow_does_not_keep_the_server_from_stopping(loop, sent):
    with socket.socket() as connection:
        with ServerThread(loop=loop) as server:
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(sent)
            if b"POST" in sent:
                assert connection.recv(65536).startswith(b"HTTP/1.1 415 ")
            began = time.monotonic()
        assert time.monotonic() - began < 5
