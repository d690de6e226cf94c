"""The chaos run: its counting, its choice of faults, and a short run for real."""

import asyncio
import json
import random
import sys

import pytest

from bench.chaos_faults import choose
from bench.chaos_load import Outcome
from bench.chaos_relay import Relay
from bench.chaos_report import verdict


def outcome(began, took_s, status=200, *, right=True, tries=1, attempt=1):
    return Outcome(
        began=began, took_s=took_s, status=status, code="", right=right, tries=tries, attempt=attempt, worker="w"
    )


def test_every_task_that_was_sent_is_counted_once():
    outcomes = [
        outcome(0.0, 0.1),
        outcome(1.0, 0.5, attempt=2),
        outcome(2.0, 4.0, tries=3),
        outcome(3.0, 0.1, 429),
        outcome(3.0, 0.1, 503),
        outcome(3.0, 0.1, 502),
        outcome(3.0, 30.0, 504),
        outcome(3.0, 40.0, 0),
        outcome(9.0, 0.2, right=False),
    ]
    result = verdict(outcomes, sent=10, calm_until=1.0, calm_from=8.0)
    assert (result.answered, result.refused, result.failed, result.late) == (4, 2, 1, 1)
    assert result.lost == 2, "one without an answer, and one that never ended"
    assert (result.retried, result.resent, result.wrong) == (1, 1, 1)
    assert result.longest_outage_s == pytest.approx(4.5)
    assert (result.p99_before_s, result.p99_during_s, result.p99_after_s) == (0.1, 4.0, 0.2)


def test_the_same_seed_gives_the_same_faults_and_every_part_has_its_turn():
    parts = ["nats", "worker-1", "dispatcher-1", "logsink"]
    first, second = ([choose(random.Random(seed), parts) for seed in range(200)] for _ in range(2))
    assert first == second
    assert {fault.part for fault in first} == set(parts)
    assert {fault.kind for fault in first if fault.part == "nats"} == {"kill", "hang"}, "NATS has no relay of its own"


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


@pytest.mark.e2e
@pytest.mark.nats
@pytest.mark.timeout(240)
async def test_a_short_run_loses_nothing_and_leaves_a_report(tmp_path):
    chaos = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.chaos", "--minutes", "1", "--seed", "3", "--pause-s", "2"),
        *("--results", str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(chaos.communicate(), 200)
    assert chaos.returncode == 0, said.decode()
    [folder] = tmp_path.iterdir()
    results = json.loads((folder / "chaos.json").read_text())["results"]
    assert (results["verdict"]["lost"], results["verdict"]["wrong"]) == (0, 0)
    assert results["verdict"]["answered"] > 0
    assert results["faults"]
    assert "answers a second" in (folder / "chaos.svg").read_text()
