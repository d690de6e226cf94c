import asyncio

import pytest

from dispatcher.api.transport import JOIN_BYTES, ResponseTransport


class Written(asyncio.Transport):
    """Keeps what would be sent, one item a system call."""

    def __init__(self):
        super().__init__()
        self.sent = []
        self.closed = False

    def write(self, data):
        self.sent.append(bytes(data))

    def writelines(self, list_of_data):
        self.sent.append(b"".join(list_of_data))

    def close(self):
        self.closed = True

    abort = close


@pytest.fixture
def beneath():
    return Written()


@pytest.fixture
def transport(beneath):
    return ResponseTransport(beneath)


@pytest.mark.parametrize("body", [b"", b"body", b"x" * JOIN_BYTES])
def test_head_and_body_are_sent_together(transport, beneath, body):
    transport.write(b"HTTP/1.1 200 OK\r\n\r\n")
    assert beneath.sent == []
    transport.write(body)
    assert beneath.sent == [b"HTTP/1.1 200 OK\r\n\r\n" + body]


def test_what_follows_the_first_part_of_a_body_is_sent_as_it_comes(transport, beneath):
    for part in (b"head ", b"one ", b"two ", b"three"):
        transport.write(part)
    assert beneath.sent == [b"head one ", b"two ", b"three"]


def test_a_head_without_a_body_is_sent_at_the_end_of_its_response(transport, beneath):
    transport.write(b"head")
    transport.response_ended()
    assert beneath.sent == [b"head"]


def test_each_response_of_a_connection_has_a_head_of_its_own(transport, beneath):
    for number in (b"1", b"2"):
        transport.write(b"head " + number)
        transport.write(b" body " + number)
        transport.response_ended()
    assert beneath.sent == [b"head 1 body 1", b"head 2 body 2"]


def test_a_go_ahead_is_not_held_back_and_is_no_head(transport, beneath):
    transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert beneath.sent == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    transport.write(b"HTTP/1.1 200 OK\r\n\r\n")
    assert len(beneath.sent) == 1
    transport.write(b"body")
    assert beneath.sent[1] == b"HTTP/1.1 200 OK\r\n\r\nbody"


def test_what_was_held_back_is_sent_before_the_connection_closes(transport, beneath):
    transport.write(b"head")
    transport.close()
    assert (beneath.sent, beneath.closed) == ([b"head"], True)


def test_an_aborted_connection_sends_nothing(transport, beneath):
    transport.write(b"head")
    transport.abort()
    assert (beneath.sent, beneath.closed) == ([], True)
