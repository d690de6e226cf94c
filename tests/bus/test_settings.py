"""Settings that are refused."""

import msgspec
import pytest

from bus.command import build
from bus.errors import BadNameError, InvalidInputError
from bus.settings import BusSettings
from dispatcher.settings import DispatcherSettings
from worker.settings import WorkerSettings, default_id


def test_names_on_the_bus_come_from_the_settings():
    subjects = build(BusSettings, {"prefix": "a.b", "bucket": "B", "log_stream": "L"}).subjects
    assert subjects.task("w") == "a.b.task.w"
    assert (subjects.bucket, subjects.log_stream) == ("B", "L")


@pytest.mark.parametrize("prefix", ["", "a b", "lb.>", "*", "a..b", "any"])
def test_a_prefix_that_is_no_subject_is_refused(prefix):
    with pytest.raises(BadNameError):
        _ = BusSettings(prefix=prefix).subjects


@pytest.mark.parametrize(
    ("kind", "values", "says"),
    [
        (BusSettings, {"log_level": "LOUD"}, "--log-level"),
        (BusSettings, {"log_format": "xml"}, "--log-format"),
        (BusSettings, {"nats_connect_timeout_s": 0}, "--nats-connect-timeout-s"),
        (WorkerSettings, {"capacity": 0}, "--capacity"),
        (WorkerSettings, {"runtime": "magic"}, "--runtime"),
        (WorkerSettings, {"worker_id": "any"}, "cannot be a worker"),
        (WorkerSettings, {"worker_id": "a.b"}, "cannot be a worker"),
        (WorkerSettings, {"heartbeat_s": 0.1}, "--heartbeat-s"),
        (DispatcherSettings, {"policy": "clever"}, "--policy"),
        (DispatcherSettings, {"http_port": 65536}, "--http-port"),
        (DispatcherSettings, {"dispatcher_id": "a b"}, "cannot be a worker or component id"),
        (DispatcherSettings, {"max_body_bytes": 10}, "--max-body-bytes"),
    ],
)
def test_values_that_do_not_fit_are_refused_with_what_to_change(kind, values, says):
    with pytest.raises(InvalidInputError, match=says):
        build(kind, values)


@pytest.mark.parametrize("host", ["host", "ip-10-0-0-1.eu.internal", "-.-", "ä" * 100, "x" * 200])
def test_a_made_up_worker_id_is_always_a_name(host, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: host)
    assert WorkerSettings(worker_id=default_id()).id == default_id()


def test_settings_cannot_be_changed():
    with pytest.raises(AttributeError):
        BusSettings().prefix = "x"  # type: ignore[misc]
    assert msgspec.structs.replace(BusSettings(), prefix="x").prefix == "x"
