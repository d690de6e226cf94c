"""The log sink as a process of its own, ended in every way."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
from functools import partial

import msgspec
import pytest

from bus.streams import ensure_log_stream
from tests.disks import small_disk
from tests.logsink.conftest import DEADLINE_S, publish, until, written

pytestmark = pytest.mark.nats


@contextlib.asynccontextmanager
async def process(settings, *, file_limit=None, **more):
    """`python -m logsink` with these settings; killed at the end if it still runs."""
    variables = {
        "LABELBUS_" + field.upper(): str(value)
        for field, value in (
            *((f, getattr(settings, f)) for f in ("nats_url", "prefix", "bucket", "log_stream", "log_folder")),
            *more.items(),
        )
    }

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, resource.RLIM_INFINITY))

    sink = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "logsink",
        env=os.environ | variables,
        stderr=asyncio.subprocess.PIPE,
        limit=2**20,
        preexec_fn=limit if file_limit else None,
    )
    try:
        yield sink
    finally:
        if sink.returncode is None:
            sink.kill()
        await sink.communicate()


async def ended(sink, how):
    """The exit status and the log after a signal."""
    sink.send_signal(how)
    _, log = await asyncio.wait_for(sink.communicate(), DEADLINE_S)
    return sink.returncode, log.decode()


async def test_killed_again_and_again_under_load_every_record_is_there_once(bus, sink_settings):
    folder, count = sink_settings.log_folder, 30_000
    await ensure_log_stream(bus)
    publishing = asyncio.gather(
        publish(bus, range(count), each=5),
        publish(bus, range(count // 2), worker="w2"),
        publish(bus, range(1000), worker="w3"),
    )
    kills = 0

    def beyond(number):
        return len(written(folder)) > number

    for share in (0.0, 0.1, 0.2, 0.4, 0.6, 0.8):
        async with process(sink_settings, rotate_mb=0.5) as sink:
            await until(partial(beyond, share * count))
            status, _ = await ended(sink, signal.SIGKILL)
            kills += status == -signal.SIGKILL
    await publishing
    async with process(sink_settings, rotate_mb=0.5) as sink:
        await publish(bus, range(count, count + 1))  # once it is written, this process is up
        await until(lambda: len(written(folder)) > count and len(written(folder, "worker.w2")) >= count // 2)
        await until(lambda: len(written(folder, "worker.w3")) >= 1000)
        status, log = await ended(sink, signal.SIGTERM)
    assert (kills, status) == (6, 0), log
    assert written(folder) == list(range(count + 1))
    assert written(folder, "worker.w2") == list(range(count // 2))
    assert written(folder, "worker.w3") == list(range(1000))
    assert len(list((folder / "worker.w1").iterdir())) > 1


async def test_told_to_stop_under_load_it_ends_in_order_and_loses_nothing(bus, sink_settings):
    folder, count = sink_settings.log_folder, 10_000
    await ensure_log_stream(bus)
    publishing = asyncio.create_task(publish(bus, range(count)))
    async with process(sink_settings) as sink:
        await until(lambda: written(folder))
        status, log = await ended(sink, signal.SIGTERM)
    assert status == 0, log
    assert "log sink ends" in log
    await publishing
    async with process(sink_settings) as sink:
        await until(lambda: len(written(folder)) >= count)
        await ended(sink, signal.SIGTERM)
    assert written(folder) == list(range(count))


async def test_its_own_records_are_written_too_and_are_few(bus, sink_settings):
    folder = sink_settings.log_folder
    await ensure_log_stream(bus)
    async with process(sink_settings) as sink:
        await publish(bus, range(2000))
        await until(lambda: len(written(folder)) == 2000)
        await ended(sink, signal.SIGTERM)
    async with process(sink_settings, logsink_id="other"):  # what the first one said last
        own = folder / "logsink.sink-1"
        await until(lambda: own.exists() and "stopped" in "".join(p.read_text() for p in own.iterdir()))
        events = [json.loads(line)["event"] for path in sorted(own.iterdir()) for line in path.read_text().splitlines()]
    assert events[0] == "started"
    assert len(events) < 10


async def test_a_full_disk_is_told_and_nothing_is_lost_when_there_is_room_again(bus, sink_settings):
    folder = sink_settings.log_folder
    await ensure_log_stream(bus)
    async with process(sink_settings, file_limit=20_000, log_format="json") as sink:
        await publish(bus, range(1000), each=10)
        assert sink.stderr is not None
        async with asyncio.timeout(DEADLINE_S):
            async for line in sink.stderr:
                if json.loads(line)["event"].startswith("log sink fails"):
                    break
        assert "File too large" in json.loads(line)["fields"]["reason"]
        half = written(folder)
        assert half == list(range(len(half)))
        resource.prlimit(sink.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await until(lambda: len(written(folder)) >= 1000)
        status, _ = await ended(sink, signal.SIGTERM)
    assert status == 0
    assert written(folder) == list(range(1000))


async def test_a_disk_without_room_is_told_and_nothing_is_lost_or_written_twice_when_there_is_room(
    bus, sink_settings, tmp_path
):
    await ensure_log_stream(bus)
    with small_disk(tmp_path / "disk", size_mb=1) as disk:
        folder = disk.folder / "logs"
        own = msgspec.structs.replace(sink_settings, log_folder=folder)
        async with process(own, log_format="json") as sink:
            await publish(bus, range(200))
            await until(lambda: len(written(folder)) == 200)
            disk.fill()
            await publish(bus, range(200, 1000), each=10)
            assert sink.stderr is not None
            async with asyncio.timeout(DEADLINE_S):
                async for line in sink.stderr:
                    if json.loads(line)["event"].startswith("log sink fails"):
                        break
            assert "No space left on device" in json.loads(line)["fields"]["reason"]
            whole = written(folder)
            assert whole == list(range(len(whole)))
            assert sink.returncode is None
            disk.make_room()
            await until(lambda: len(written(folder)) >= 1000)
            status, _ = await ended(sink, signal.SIGTERM)
        assert status == 0
        assert written(folder) == list(range(1000))


async def test_without_nats_it_says_what_to_do(sink_settings):
    nowhere = msgspec.structs.replace(sink_settings, nats_url="nats://127.0.0.1:1")
    async with process(nowhere, nats_connect_timeout_s=0.5) as sink:
        _, log = await asyncio.wait_for(sink.communicate(), DEADLINE_S)
    assert sink.returncode == 1
    assert "is it running" in log.decode()
