"""GET /metrics of a running dispatcher, read as Prometheus reads it."""

import asyncio
import re
import time
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bus.version import labelbus_version
from dispatcher.metrics import EVENTS, MOST_LABELS, OUTCOMES
from tests.conftest import own_bus
from tests.dispatcher.conftest import Gateway, until

pytestmark = pytest.mark.nats

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scrape(gateway: Gateway) -> Series:
    response = await gateway.http.get("/metrics")
    assert response.status_code == 200, response.text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def value(series: Series, name: str, **labels: str) -> float:
    return series[f"labelbus_{name}", frozenset(labels.items())]


async def until_metric(gateway: Gateway, name: str, wanted: float, **labels: str) -> Series:
    """Return the first scrape with this value."""
    async with asyncio.timeout(30):
        while value(series := await scrape(gateway), name, **labels) != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return series


def outcomes(series: Series) -> dict[str, float]:
    found = {outcome: value(series, "tasks_total", outcome=outcome) for outcome in OUTCOMES}
    return {outcome: count for outcome, count in found.items() if count}


async def test_the_text_is_of_the_format_that_every_scraper_reads(pool):
    response = await pool.http.get("/metrics", headers={"accept": "application/openmetrics-text;version=1.0.0,*/*"})
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = list(text_string_to_metric_families(response.text))
    ours = [family for family in families if family.name.startswith("labelbus_")]
    assert len(ours) > 20
    for family in families:
        assert family.documentation, family.name
        assert family.type in ("counter", "gauge", "histogram"), family.name
        assert re.fullmatch(r"[a-z][a-z0-9_]*", family.name)
    for family in ours:
        assert family.documentation.endswith("."), family.name
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)


async def test_a_dispatcher_alone_has_counted_nothing_and_shows_it(gateway):
    series = await scrape(gateway)
    assert value(series, "tasks_waiting") == value(series, "tasks_in_flight") == value(series, "workers") == 0
    assert outcomes(series) == {}
    assert {dict(labels)["event"] for name, labels in series if name == "labelbus_task_events_total"} == set(EVENTS)
    assert value(series, "nats_connected") == 1
    [build] = [dict(labels) for name, labels in series if name == "labelbus_build_info"]
    assert build["version"] == labelbus_version()


async def test_tasks_are_counted_where_they_are_and_by_what_became_of_them(pool):
    running = pool.begin("wait", "org/a", parameters_json={"as": "an object"})
    await pool.gate.next_entered()
    waiting = [pool.begin("wait", "org/a"), pool.begin("wait", "org/a"), pool.begin("wait", "org/b")]
    series = await until_metric(pool, "tasks_waiting", 3)
    assert value(series, "tasks_in_flight") == 1
    assert value(series, "label_tasks_waiting", label="org/a") == 2
    assert value(series, "label_tasks_waiting", label="org/b") == 1
    assert value(series, "parameters_held_bytes") == len('{"as":"an object"}') + 3 * len("{}")
    assert value(series, "slots_busy") == 1
    assert outcomes(series) == {}
    pool.gate.open.set()
    await asyncio.gather(running, *waiting)
    series = await scrape(pool)
    assert value(series, "tasks_waiting") == value(series, "tasks_in_flight") == value(series, "slots_busy") == 0
    assert value(series, "parameters_held_bytes") == 0
    assert not any(name == "labelbus_label_tasks_waiting" for name, _ in series)
    assert outcomes(series) == {"answered": 4}
    assert value(series, "tasks_submitted_total") == 4
    routes = {route: value(series, "task_duration_seconds_count", route=route) for route in ("hit", "wait", "load")}
    assert sum(routes.values()) == 4
    assert routes["load"] == 2
    assert value(series, "task_duration_seconds_bucket", route="load", le="+Inf") == 2
    assert value(series, "task_duration_seconds_sum", route="load") > 0


async def test_every_task_ends_in_one_outcome_and_what_went_wrong_is_counted(pool):
    await pool.run()
    await pool.problem(await pool.run("misbehave"), 502, "worker_failed")
    await pool.problem(await pool.run("unheard_of"), 404, "unknown_task_type")
    gone = pool.begin("wait")
    await pool.gate.next_entered()
    gone.cancel()
    await until_metric(pool, "tasks_total", 1, outcome="cancelled")
    async with asyncio.timeout(30):
        while not value(series := await scrape(pool), "tasks_total", outcome="expired"):
            # On a slow machine the deadline may pass before the task is submitted: such a task is refused, not counted.
            await pool.problem(await pool.run("wait", deadline_ms=now_ms() + 200), 504, "deadline_passed")
    assert outcomes(series) == {"answered": 1, "failed": 1, "rejected": 1, "cancelled": 1, "expired": 1}
    assert value(series, "tasks_submitted_total") == 5
    await pool.bus.publish(pool.bus.subjects.state("w1"), b"\xff")
    await until_metric(pool, "messages_malformed_total", 1)
    kv = await pool.bus.js.key_value(pool.bus.subjects.bucket)
    await kv.put(pool.bus.subjects.worker_key("w9"), b"no entry")
    await until_metric(pool, "registry_values_malformed_total", 1)


async def test_workers_are_shown_as_the_registry_has_them_and_only_while_they_are_there(gateway):
    await gateway.add_worker("w1", capacity=3, slots=2)
    await gateway.add_worker("w2")
    await gateway.run(label="org/a")
    await gateway.run(label="org/b")
    series = await scrape(gateway)
    assert value(series, "workers") == 2
    assert value(series, "worker_slots", worker="w1") == 2
    assert value(series, "worker_capacity_labels", worker="w1") == 3
    assert sum(value(series, "worker_labels", worker=name) for name in ("w1", "w2")) == 2
    assert value(series, "worker_draining", worker="w1") == value(series, "worker_tasks", worker="w1") == 0
    await gateway.workers["w1"].stop()
    await until(lambda: len(gateway.service.router.workers()) == 1)
    series = await scrape(gateway)
    assert {dict(labels)["worker"] for name, labels in series if name.startswith("labelbus_worker_")} == {"w2"}


async def test_a_large_pool_is_shown_as_a_whole(gateway, monkeypatch):
    monkeypatch.setattr("dispatcher.metrics.MOST_WORKERS", 1)
    await gateway.add_worker("w1", slots=2)
    assert value(await scrape(gateway), "worker_slots", worker="w1") == 2
    await gateway.add_worker("w2")
    series = await scrape(gateway)
    assert (value(series, "workers"), value(series, "slots")) == (2, 3)
    assert not any(name.startswith("labelbus_worker_") for name, _ in series)


async def test_no_more_labels_are_named_than_promised(gateway):
    await gateway.add_worker(capacity=1)
    asked = [gateway.begin("wait", "org/first")]
    await gateway.gate.next_entered()
    asked += [gateway.begin("wait", f"org/{number}") for number in range(MOST_LABELS + 5)]
    asked += [gateway.begin("wait", "org/busy") for _ in range(2)]
    series = await until_metric(gateway, "tasks_waiting", MOST_LABELS + 7)
    named: dict[str, Any] = {
        dict(labels)["label"]: count
        for (name, labels), count in series.items()
        if name == "labelbus_label_tasks_waiting"
    }
    assert len(named) == MOST_LABELS
    assert named["org/busy"] == 2
    gateway.gate.open.set()
    await asyncio.gather(*asked)


async def test_metrics_are_there_while_nats_is_not(make_gateway, nats):
    gateway = await make_gateway(own_bus(nats.url, "metrics"))
    await gateway.add_worker()
    nats.stop()
    series = await until_metric(gateway, "nats_connected", 0)
    assert value(series, "workers") == 1
    nats.start()
    await until_metric(gateway, "nats_connected", 1)
    await until_metric(gateway, "nats_reconnects_total", 1)


def now_ms() -> int:
    return time.time_ns() // 1_000_000
