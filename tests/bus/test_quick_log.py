import json

import msgspec
import pytest

from bus.logs import LogShipper, QuickLog, log_event, set_up_logging

FIELDS = {"task_id": "t-1", "label": "acme/model", "label_hit": True, "run_ms": 0.5, "attempt": 1}


@pytest.fixture
async def shipper(bus):
    return LogShipper(bus, component="worker", component_id="w-1")


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_a_quick_record_looks_like_one_of_loguru(settings, shipper, capsys, log_format):
    settings = msgspec.structs.replace(settings, log_format=log_format)
    set_up_logging(settings, component="worker", component_id="w-1")
    log_event("Task completed in 0.5 seconds", **FIELDS)
    slow = capsys.readouterr().err
    log = QuickLog(settings, component="worker", component_id="w-1", shipper=shipper)
    log.event("Task completed in 0.5 seconds", **FIELDS)
    quick = capsys.readouterr().err
    if log_format == "json":
        assert {**json.loads(slow), "time": ""} == {**json.loads(quick), "time": ""}
        assert len(json.loads(slow)["time"]) == len(json.loads(quick)["time"])
    else:
        assert slow.split()[1:] == quick.split()[1:]
        assert len(slow.split()[0]) == len(quick.split()[0])


async def test_a_quick_record_goes_to_the_bus_with_its_fields(settings, shipper):
    log = QuickLog(settings, component="worker", component_id="w-1", shipper=shipper)
    log.event("Task completed in 0.5 seconds", **FIELDS)
    (record,) = shipper._buffer
    assert (record.level, record.component, record.id) == ("INFO", "worker", "w-1")
    assert (record.event, record.fields) == ("Task completed in 0.5 seconds", FIELDS)


async def test_above_its_level_nothing_is_logged(settings, shipper, capsys):
    settings = msgspec.structs.replace(settings, log_level="WARNING")
    QuickLog(settings, component="worker", component_id="w-1", shipper=shipper).event("task")
    assert not shipper._buffer
    assert capsys.readouterr().err == ""
