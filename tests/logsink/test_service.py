import asyncio
import contextlib
import json
import signal
from functools import partial

import pytest
from loguru import logger

from bus.connection import connect
from bus.errors import ConflictError
from bus.streams import ensure_log_stream
from logsink import service
from logsink.pull import Puller
from logsink.service import LogSink
from tests.conftest import own_bus
from tests.logsink.conftest import of_bus, payload, publish, until, written

pytestmark = pytest.mark.nats


@contextlib.asynccontextmanager
async def sinking(settings):
    """A log sink with a connection of its own, which ends in order."""
    async with connect(settings, name="sink") as bus:
        stopping = asyncio.Event()
        sink = LogSink(bus, settings, stopping, asyncio.Event())
        task = asyncio.create_task(sink.run())
        try:
            yield sink
        finally:
            stopping.set()
            await task


def has_written(sink, records):
    return sink.tally.records == records


def has_reconnected(bus, times):
    return bus.reconnects >= times


@pytest.fixture
def events():
    """The events that are logged, with their fields."""
    seen = []
    number = logger.add(lambda m: seen.append((m.record["message"], m.record["extra"])), level="INFO")
    yield seen
    logger.remove(number)


async def test_every_record_is_written_once_in_order(bus, sink_settings):
    folder = sink_settings.log_folder
    await ensure_log_stream(bus)
    await publish(bus, range(2000), each=7)
    async with sinking(sink_settings) as sink:
        await publish(bus, range(2000, 3000))
        await publish(bus, range(500), worker="w2", each=50)
        await until(lambda: sink.tally.records == 3500)
    assert written(folder) == list(range(3000))
    assert written(folder, "worker.w2") == list(range(500))
    assert sink.health.state == "ok"


async def test_a_sink_that_starts_again_goes_on_where_it_was(bus, sink_settings, events):
    await ensure_log_stream(bus)
    for turn in range(3):
        await publish(bus, range(100 * turn, 100 * turn + 100))
        async with sinking(sink_settings) as sink:
            await until(partial(has_written, sink, 100))
        assert sink.tally.again == 0
    assert written(sink_settings.log_folder) == list(range(300))
    assert [fields["waiting"] for event, fields in events if event == "log sink reads the stream"] == [100] * 3


async def test_a_backlog_is_told_and_its_end(bus, sink_settings, events):
    await ensure_log_stream(bus)
    await publish(bus, range(3000))
    async with sinking(sink_settings) as sink:
        await until(lambda: sink.tally.records == 3000)
        await until(lambda: any(event == "log sink has caught up" for event, _ in events))


async def test_messages_that_were_written_but_not_acknowledged_are_passed_over(bus, sink_settings, monkeypatch):
    await ensure_log_stream(bus)
    await publish(bus, range(100))

    async def lost_ack(_message):
        pass

    with monkeypatch.context() as patch:
        patch.setattr("nats.aio.msg.Msg.ack", lost_ack)
        async with sinking(sink_settings) as sink:
            await until(lambda: sink.tally.records == 100)
    await publish(bus, range(100, 110))
    async with sinking(sink_settings) as sink:
        await until(lambda: sink.tally.records == 10)
    assert sink.tally.again == 100
    assert written(sink_settings.log_folder) == list(range(110))


async def test_a_delivery_that_is_lost_on_its_way_loses_no_record(bus, sink_settings, events, monkeypatch):
    receive = Puller._receive
    lost: list[object] = []

    async def lossy(self, message):
        if not lost and message.reply.startswith("$JS.ACK.") and ".20." in message.reply:
            lost.append(message)
            return
        await receive(self, message)

    monkeypatch.setattr(Puller, "_receive", lossy)
    await ensure_log_stream(bus)
    await publish(bus, range(100))
    async with sinking(sink_settings) as sink:
        await until(lambda: sink.tally.records == 100)
    assert lost
    assert written(sink_settings.log_folder) == list(range(100))
    assert any("was lost on its way" in str(fields.get("reason")) for _, fields in events)


async def test_garbage_is_kept_counted_and_told_once(bus, sink_settings, events):
    folder, prefix = sink_settings.log_folder, sink_settings.prefix
    await ensure_log_stream(bus)
    async with sinking(sink_settings) as sink:
        for data in (b"\xff\x00", b"", b"{}", b"[" * 100_000, b"\n\n"):
            await bus.js.publish(bus.subjects.log("worker", "w1"), data)
        for subject in ("worker", "worker.a.b", "worker.any", "worker.%2e%2e", "_.unknown"):
            await bus.js.publish(f"{prefix}.log.{subject}", payload(1))
        await publish(bus, range(10))
        await until(lambda: sink.tally.records == 20)
    assert written(folder) == [None] * 5 + list(range(10))
    assert written(folder, "_.unknown") == [None] * 5
    assert sink.tally.unreadable == 10
    assert [event for event, _ in events].count("unreadable log records kept as text") == 1
    assert sorted(path.name for path in folder.parent.iterdir()) == ["logs"]


async def test_a_stream_made_anew_is_written_from_its_beginning(bus, sink_settings):
    await ensure_log_stream(bus)
    await publish(bus, range(50))
    async with sinking(sink_settings) as sink:
        await until(lambda: sink.tally.records == 50)
        await bus.js.delete_stream(sink_settings.log_stream)
        await ensure_log_stream(bus)
        await publish(bus, range(50, 60))
        await until(lambda: sink.tally.records == 60)
    await publish(bus, range(60, 70))
    async with sinking(sink_settings) as sink:
        await until(lambda: sink.tally.records == 10)
    assert written(sink_settings.log_folder) == list(range(70))
    paths = sorted((sink_settings.log_folder / "worker.w1").iterdir())
    seqs = [json.loads(line)["seq"] for path in paths for line in path.read_bytes().splitlines()]
    assert seqs == list(range(1, 71))


async def test_a_folder_that_cannot_be_written_is_told_and_tried_until_it_can(bus, sink_settings, events):
    folder = sink_settings.log_folder
    folder.write_text("in the way")
    await ensure_log_stream(bus)
    async with sinking(sink_settings) as sink:
        await publish(bus, range(10))
        await until(lambda: sink.health.state == "failing")
        assert "cannot be written" in sink.health.reason
        folder.unlink()
        await until(lambda: sink.tally.records == 10)
    assert sink.health.state == "ok"
    assert written(folder) == list(range(10))
    names = [event for event, _ in events]
    assert names.count("log sink fails; records wait in the stream") == 1
    assert "log sink works again" in names


async def test_a_component_whose_files_cannot_be_written_delays_but_loses_nothing(bus, sink_settings):
    folder = sink_settings.log_folder
    await ensure_log_stream(bus)
    async with sinking(sink_settings) as sink:
        await publish(bus, range(10))
        await until(lambda: sink.tally.records == 10)
        (folder / "worker.w2").write_text("in the way")
        await publish(bus, range(10, 20))
        await publish(bus, range(10), worker="w2")
        await until(lambda: sink.health.state == "failing")
        (folder / "worker.w2").unlink()
        await until(lambda: sink.tally.records == 30)
    assert written(folder) == list(range(20))
    assert written(folder, "worker.w2") == list(range(10))


async def test_a_sink_that_cannot_write_stops_when_told_and_the_next_one_does(bus, sink_settings):
    folder = sink_settings.log_folder
    await ensure_log_stream(bus)
    async with sinking(sink_settings) as sink:
        await until(lambda: sink.health.state == "ok")
        (folder / "worker.w1").write_text("in the way")
        await publish(bus, range(10))
        await until(lambda: sink.health.state == "failing")
    (folder / "worker.w1").unlink()
    async with sinking(sink_settings) as sink:
        await until(lambda: sink.tally.records == 10)
    assert written(folder) == list(range(10))


async def test_a_second_sink_for_the_folder_says_so_and_ends(bus, sink_settings, monkeypatch):
    monkeypatch.setattr(service, "LOCK_PATIENCE_S", 0.0)
    async with sinking(sink_settings) as first:
        await until(lambda: first.health.state == "ok")
        with pytest.raises(ConflictError, match="another log sink"):
            await LogSink(bus, sink_settings, asyncio.Event(), asyncio.Event()).run()
        await publish(bus, range(3))
        await until(lambda: first.tally.records == 3)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_restarts_of_nats_lose_and_double_nothing(nats, tmp_path, how):
    settings = of_bus(own_bus(nats.url, "restarts"), tmp_path)
    async with connect(settings, name="test") as bus:
        await ensure_log_stream(bus)
        async with sinking(settings) as sink:
            for turn in range(3):
                await publish(bus, range(1000 * turn, 1000 * turn + 1000), each=3)
                nats.stop(how)
                nats.start()
                await until(partial(has_reconnected, bus, turn + 1))
            await until(lambda: sink.tally.records == 3000)
            await publish(bus, range(3000, 3010))
            await until(lambda: sink.tally.records == 3010)
    assert written(settings.log_folder) == list(range(3010))


async def test_retention_runs_when_the_sink_starts(bus, sink_settings):
    old = sink_settings.log_folder / "worker.gone" / "2020-01-01.0001.jsonl"
    old.parent.mkdir(parents=True)
    old.write_bytes(b'{"seq":0}\n')
    async with sinking(sink_settings):
        await until(lambda: not old.parent.exists())
