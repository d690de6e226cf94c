import asyncio
import json

import msgspec
import pytest
from loguru import logger

from bus.codec import decode_record
from bus.logs import LogShipper, set_up_logging
from bus.quick_log import QuickLog


class Fields(msgspec.Struct):
    task_id: str = "t-1"
    label: str = "acme/model"
    label_hit: bool = True
    run_ms: float = 0.5
    attempt: int = 1


FIELDS = msgspec.to_builtins(Fields())


class Line(msgspec.Struct):
    said: str

    def event(self):
        return self.said

    def fields(self):
        return Fields()


@pytest.fixture
async def shipper(bus):
    return LogShipper(bus, component="worker", component_id="w-1")


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_a_quick_record_looks_like_one_of_loguru(settings, shipper, capsys, log_format):
    settings = msgspec.structs.replace(settings, log_format=log_format)
    set_up_logging(settings, component="worker", component_id="w-1")
    logger.bind(**FIELDS).info("Task completed in 0.5 seconds")
    slow = capsys.readouterr().err
    log = QuickLog(settings, component="worker", component_id="w-1", shipper=shipper)
    log.add(Line("Task completed in 0.5 seconds"))
    log.flush()
    quick = capsys.readouterr().err
    if log_format == "json":
        assert {**json.loads(slow), "time": ""} == {**json.loads(quick), "time": ""}
        assert len(json.loads(slow)["time"]) == len(json.loads(quick)["time"])
    else:
        assert slow.split()[1:] == quick.split()[1:]
        assert len(slow.split()[0]) == len(quick.split()[0])


async def test_a_quick_record_goes_to_the_bus_with_its_fields(settings, shipper):
    log = QuickLog(settings, component="worker", component_id="w-1", shipper=shipper)
    log.add(Line("Task completed in 0.5 seconds"))
    log.flush()
    record = decode_record(*shipper._buffer)
    assert (record.level, record.component, record.id) == ("INFO", "worker", "w-1")
    assert (record.event, record.fields) == ("Task completed in 0.5 seconds", FIELDS)


async def test_above_its_level_nothing_is_logged(settings, shipper, capsys):
    settings = msgspec.structs.replace(settings, log_level="WARNING")
    log = QuickLog(settings, component="worker", component_id="w-1", shipper=shipper)
    log.add(Line("task"))
    log.flush()
    assert not shipper._buffer
    assert capsys.readouterr().err == ""


async def test_quick_records_are_written_by_themselves_in_their_order(settings, shipper, capsys):
    log = QuickLog(settings, component="worker", component_id="w-1", shipper=shipper)
    written = asyncio.Event()
    add = shipper.add

    def add_and_tell(lines):
        add(lines)
        written.set()

    shipper.add = add_and_tell
    for number in range(3):
        log.add(Line(f"task {number}"))
    assert not shipper._buffer
    async with asyncio.timeout(10):
        await written.wait()
    assert [decode_record(line).event for line in shipper._buffer] == ["task 0", "task 1", "task 2"]
    assert [line.split()[3] for line in capsys.readouterr().err.splitlines()] == ["task"] * 3


class Unwritable(msgspec.Struct):
    """An entry whose fields are no JSON."""

    def event(self):
        return "never seen"

    def fields(self):
        return Fields(label="half a surrogate \ud800")


async def test_a_record_that_cannot_be_written_costs_no_other_and_is_told(settings, shipper, capsys):
    set_up_logging(settings, component="worker", component_id="w-1")
    log = QuickLog(settings, component="worker", component_id="w-1", shipper=shipper)
    for entry in (Line("before"), Unwritable(), Line("after")):
        log.add(entry)
    log.flush()
    said = capsys.readouterr().err
    assert "record of the quick log cannot be written" in said
    assert [word for word in ("before", "never seen", "after") if f"w-1 {word} " in said] == ["before", "after"]


async def test_another_thread_is_refused(settings, shipper):
    log = QuickLog(settings, component="worker", component_id="w-1", shipper=shipper)
    with pytest.raises(RuntimeError, match="outside its event loop's thread"):
        await asyncio.to_thread(log.add, Line("from afar"))
