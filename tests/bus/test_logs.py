import asyncio
import contextlib
from pathlib import Path

import pytest
from loguru import logger

from bus.codec import decode_record, encode_records
from bus.connection import connect
from bus.logs import LogShipper, set_up_logging, text_of_fields, to_record
from bus.owned import end
from bus.streams import ensure_log_stream
from tests.conftest import own_bus

DEADLINE_S = 30


@contextlib.asynccontextmanager
async def shipping(bus, **options):
    shipper = LogShipper(bus, component="worker", component_id="w1", **options)
    sink = logger.add(shipper.sink, format="{message}")
    task = asyncio.create_task(shipper.run())
    try:
        yield shipper
    finally:
        logger.remove(sink)
        await end(task)


async def stored(bus):
    """All records in the stream, in order."""
    info = await bus.js.stream_info(bus.subjects.log_stream)
    records = []
    for seq in range(1, info.state.last_seq + 1):
        message = await bus.js.get_msg(bus.subjects.log_stream, seq)
        assert message.subject == bus.subjects.log("worker", "w1")
        records += [decode_record(line) for line in message.data.split(b"\n")]
    return records


@pytest.mark.nats
async def test_records_reach_the_stream_in_order_with_their_fields(bus):
    async with shipping(bus) as shipper:
        for number in range(500):
            logger.bind(number=number, what=["a", 1]).info("counted")
        await shipper.drain(DEADLINE_S)
        records = await stored(bus)
    assert [record.fields["number"] for record in records] == list(range(500))
    assert records[0].event == "counted"
    assert records[0].level == "INFO"
    assert records[0].fields["what"] == ["a", 1]


@pytest.mark.nats
async def test_an_exception_travels_with_its_traceback(bus):
    async with shipping(bus) as shipper:
        try:
            raise ValueError("such a pity")
        except ValueError:
            logger.exception("failed")
        await shipper.drain(DEADLINE_S)
        (record,) = await stored(bus)
    assert "ValueError: such a pity" in record.error


@pytest.mark.nats
async def test_a_full_buffer_drops_counts_and_tells(bus):
    async with shipping(bus, buffer_records=10) as shipper:
        for number in range(25):
            logger.bind(number=number).info("counted")
        assert shipper.dropped == 15
        await shipper.drain(DEADLINE_S)
        await shipper.drain(DEADLINE_S)
        assert shipper.shipped == 11
        records = await stored(bus)
    assert records[-1].level == "WARNING"
    assert records[-1].fields["dropped"] == 15


@pytest.mark.nats
async def test_a_record_that_the_server_does_not_take_is_dropped_counted_and_holds_up_no_other(bus):
    async with shipping(bus) as shipper:
        logger.info("before")
        logger.bind(**{f"field_{number}": "x" * 4000 for number in range(300)}).info("huge")
        for number in range(4):  # each fits, and no two do
            logger.bind(**{f"field_{number}": "x" * 4000 for number in range(200)}).info(f"large {number}")
        await shipper.drain(DEADLINE_S)
        await shipper.drain(DEADLINE_S)
        events = [record.event for record in await stored(bus)]
    assert events[:5] == ["before", "large 0", "large 1", "large 2", "large 3"]
    assert events[5].startswith("log records dropped")
    assert shipper.dropped == 1


@pytest.mark.nats
async def test_records_of_other_threads_are_shipped_too(bus):
    async with shipping(bus) as shipper:
        await asyncio.gather(*(asyncio.to_thread(logger.info, f"thread {n}") for n in range(5)))
        await shipper.drain(DEADLINE_S)
        assert {record.event for record in await stored(bus)} == {f"thread {n}" for n in range(5)}


@pytest.mark.nats
async def test_nothing_is_lost_or_doubled_while_nats_restarts(nats):
    async with connect(own_bus(nats.url, "logs"), name="test") as bus:
        await ensure_log_stream(bus)
        async with shipping(bus) as shipper:
            logger.info("before")
            await shipper.drain(DEADLINE_S)
            nats.stop()
            for number in range(100):
                logger.bind(number=number).info("while away")
            nats.start()
            await shipper.drain(DEADLINE_S)
            records = [record for record in await stored(bus) if record.event == "while away"]
    assert [record.fields["number"] for record in records] == list(range(100))


def test_what_is_no_json_becomes_text_and_long_text_is_cut():
    seen = []
    sink = logger.add(lambda message: seen.append(to_record(message.record, "c", "i")))
    try:
        logger.bind(odd={1, 2}, long="x" * 100_000, half="\ud800", nested={"a": object}).info("e" * 100_000)
    finally:
        logger.remove(sink)
    (record,) = seen
    assert record.fields["odd"] == "{1, 2}"
    assert record.fields["half"] == "\\ud800"
    assert decode_record(encode_records([record])) == record
    assert len(record.event) == 4000
    assert len(str(record.fields["long"])) == 4000


def test_text_has_the_fields_as_json_and_the_traceback(settings, capsys):
    set_up_logging(settings, component="worker", component_id="w-1")
    logger.bind(task_id="t-1", reason="{no} <field>", path=Path("a")).info("task <b>{lost}</b>")
    assert capsys.readouterr().err.split(" ", 1)[1] == (
        'INFO    worker/w-1 task <b>{lost}</b> {"task_id":"t-1","reason":"{no} <field>","path":"a"}\n'
    )
    try:
        raise ValueError("such a pity")
    except ValueError:
        logger.exception("failed")
    assert capsys.readouterr().err.rstrip().endswith("ValueError: such a pity")


@pytest.mark.parametrize(
    ("fields", "text"),
    [({}, ""), ({"a": 1}, '{"a":1}'), ({"a": "\ud800"}, "{'a': '\\ud800'}"), ({"a": {1.5: 2}}, '{"a":{"1.5":2}}')],
)
def test_whatever_the_fields_are_there_is_a_text_of_them(fields, text):
    assert text_of_fields(fields) == text
