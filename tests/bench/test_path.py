import asyncio
import os
import sys

import pytest

from bench.cpu import cpu_s
from bench.http_load import Leg, answer_size, request_bytes, run_leg
from bench.path_report import Measured, Side, summarise, verdicts

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ncontent-length: 7\r\n\r\n"


def leg(side: Side, *, connections: int, seconds: float, ms: float, gateway_s: float) -> Measured:
    return Measured(
        side=side, connections=connections, seconds=seconds, latencies_ms=[ms] * 1000, cpu_s={"gateway": gateway_s}
    )


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
        result = await run_leg(Leg(port=port, path="/run-task", body="{}", connections=3, seconds=0.2))
    assert result.statuses["200"] == len(result.latencies_ms) > 3
    assert result.statuses["none"] == 0


def test_a_row_is_the_median_of_its_legs():
    legs = [leg("bare", connections=32, seconds=seconds, ms=2.0, gateway_s=0.1) for seconds in (1.0, 2.0, 4.0)]
    (row,) = summarise(legs)
    assert (row.legs, row.requests, row.rate, row.rate_least, row.rate_most) == (3, 3000, 500.0, 250.0, 1000.0)
    assert (row.p50_ms, row.cpu_us) == (2.0, {"gateway": 100.0})


def test_sides_are_compared_round_by_round():
    legs = []
    for slower in (1.0, 3.0, 1.0):  # the machine had something else to do in the second round
        legs.append(leg("bare", connections=32, seconds=slower, ms=2.0, gateway_s=0.1 * slower))
        legs.append(leg("labelbus", connections=32, seconds=slower * 1.25, ms=2.0, gateway_s=0.13 * slower))
    legs.append(leg("bare", connections=1, seconds=1.0, ms=0.5, gateway_s=0.1))
    legs.append(leg("labelbus", connections=1, seconds=1.0, ms=0.9, gateway_s=0.1))
    assert [(verdict.met, verdict.text) for verdict in verdicts(legs)] == [
        (True, "rate at 32 connections: 80% of the bare gateway's (bar: 75%)"),
        (True, "CPU of the gateway at 32 connections: 1.30 × the bare one's (bar: 1.4)"),
        (False, "p50 at 1 connection: +0.40 ms beside the bare gateway's (bar: +0.25)"),
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_the_cpu_of_a_process_is_what_the_kernel_says():
    own = cpu_s(os.getpid())
    assert own is not None
    assert own == pytest.approx(sum(os.times()[:2]), abs=0.1)
    assert cpu_s(2**22 + 1) is None
