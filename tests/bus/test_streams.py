import re
import subprocess
import sys
from pathlib import Path

import pytest

from bus.connection import Bus, connect
from bus.errors import UnavailableError
from bus.log_consumer import acknowledged_seq, log_stream_state, replace_consumer
from bus.settings import BusSettings
from bus.streams import check_jetstream, ensure_bucket, ensure_log_stream

pytestmark = pytest.mark.nats


@pytest.fixture
def without_jetstream():
    """The address of a server that has no JetStream."""
    binary = Path(sys.prefix) / "bin" / "nats-server"
    with subprocess.Popen([binary, "-a", "127.0.0.1", "-p", "-1"], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        log = ""
        while "Server is ready" not in log:
            log += process.stderr.readline()
        found = re.search(r"Listening for client connections on (.*)\n", log)
        assert found is not None
        yield f"nats://{found[1]}"
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("make", "what"),
    [(ensure_bucket, "the KV bucket labels"), (ensure_log_stream, "the stream LOGS"), (check_jetstream, "JetStream")],
)
async def test_a_server_without_jetstream_is_unavailable_in_words(without_jetstream, make, what):
    async with connect(BusSettings(nats_url=without_jetstream), name="t") as bus:
        with pytest.raises(UnavailableError, match=f"{what}.* cannot be .*is JetStream enabled"):
            await make(bus)


async def test_the_bucket_and_the_stream_can_be_made_twice(bus: Bus):
    await check_jetstream(bus)
    for _ in range(2):
        await ensure_log_stream(bus)
        bucket = await ensure_bucket(bus)
        await bucket.put("worker.w", b"{}")


async def test_what_an_operator_made_with_other_settings_stays(bus: Bus):
    await bus.js.add_stream(name=bus.subjects.log_stream, subjects=[bus.subjects.log_all], max_msgs=7)
    await ensure_log_stream(bus)
    info = await bus.js.stream_info(bus.subjects.log_stream)
    assert info.config.max_msgs == 7


async def test_a_consumer_begins_where_it_is_told_and_says_what_waits_and_what_is_acknowledged(bus: Bus):
    await ensure_log_stream(bus)
    for number in range(5):
        await bus.store(bus.subjects.log("worker", "w"), str(number).encode(), timeout_s=30)
    assert (await log_stream_state(bus)).last_seq == 5
    assert await acknowledged_seq(bus, "sink") == 0
    for first_seq in (1, 4):
        waiting = await replace_consumer(bus, "sink", first_seq=first_seq, ack_wait_s=30, max_unacknowledged=10)
        assert waiting == 6 - first_seq
    subscription = await bus.js.pull_subscribe_bind("sink", bus.subjects.log_stream)
    for msg in await subscription.fetch(2, timeout=30):
        await bus.acknowledge(msg)
    await bus.flush()
    assert await acknowledged_seq(bus, "sink") == 5
