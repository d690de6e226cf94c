"""The dispatcher's metrics in the text format of Prometheus.

Everything is computed at a scrape: a task costs no more than what the service counts anyway. Series are bounded by
`MOST_WORKERS` workers, `MOST_LABELS` labels, and the fixed sets of outcomes, events and routes.
"""

import platform
from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from bus.connection import Bus
from bus.logs import LogShipper
from bus.version import labelbus_version
from dispatcher.counters import BOUNDS_S
from dispatcher.service import DispatcherService

MEDIA_TYPE: Final = "text/plain; version=0.0.4"
"""Media type of `Metrics.text`, in UTF-8: every scraper reads it, KEDA's `metrics-api` among them."""

MOST_LABELS: Final = 20
"""Labels with a series of their own: those with the longest queues."""

MOST_WORKERS: Final = 300
"""Workers up to which each has its series; in a larger pool they would block the event loop for more than 10 ms."""

OUTCOMES: Final = ("answered", "failed", "rejected", "expired", "cancelled")
"""Outcomes of tasks: each submitted task ends in exactly one."""

EVENTS: Final = ("retried", "bounced", "late", "lost")
"""Events on a task's way; each may happen more than once."""


class Metrics:
    """The text of `GET /metrics`: this dispatcher, the workers as it sees them, and its process."""

    def __init__(self, bus: Bus, service: DispatcherService, shipper: LogShipper) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(DispatcherCollector(bus, service, shipper))
        ProcessCollector(registry=self._registry)  # processor time, memory, files; nothing where there is no /proc

    def text(self) -> bytes:
        """Return all metrics as they are now, of type `MEDIA_TYPE`."""
        return generate_latest(self._registry)


class DispatcherCollector(Collector):
    """Collector of the dispatcher's metrics; changes nothing."""

    def __init__(self, bus: Bus, service: DispatcherService, shipper: LogShipper) -> None:
        self._bus = bus
        self._service = service
        self._shipper = shipper

    def describe(self) -> list[Metric]:
        """Return nothing: the registry has one collector of these names, and need not check for duplicates."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families."""
        yield InfoMetricFamily(
            "labelbus_build",
            "Version of this dispatcher and of its Python.",
            {"version": labelbus_version(), "python": platform.python_version()},
        )
        yield from self._tasks()
        yield from self._workers()
        yield from self._connection()

    def _tasks(self) -> Iterator[Metric]:
        service, counters, router = self._service, self._service.counters, self._service.router
        yield GaugeMetricFamily("labelbus_tasks_waiting", "Tasks waiting here for a worker.", router.waiting)
        waiting = GaugeMetricFamily(
            "labelbus_label_tasks_waiting",
            f"Tasks waiting here, of the {MOST_LABELS} labels with most; only types that all workers run.",
            labels=["label"],
        )
        for label, count in router.longest_queues(MOST_LABELS):
            waiting.add_metric([label], count)
        yield waiting
        yield GaugeMetricFamily(
            "labelbus_tasks_in_flight",
            "Tasks sent to a worker or the queue group, not answered yet.",
            router.running,
        )
        yield CounterMetricFamily("labelbus_tasks_submitted", "Tasks accepted from clients.", counters.submitted)
        yield _counters(
            "labelbus_tasks",
            "Tasks by outcome: answered by a worker, failed there, rejected by the dispatcher, past their deadline, or "
            "cancelled by the client.",
            "outcome",
            {name: getattr(counters, name) for name in OUTCOMES},
        )
        yield _counters(
            "labelbus_task_events",
            "Events on the way of tasks: retried after a failure, bounced because the worker was busy or gone, "
            "answered too late, lost between dispatcher and worker.",
            "event",
            {name: getattr(counters, name) for name in EVENTS},
        )
        yield CounterMetricFamily(
            "labelbus_messages_malformed", "Messages ignored because they could not be decoded.", counters.malformed
        )
        yield CounterMetricFamily(
            "labelbus_registry_values_malformed",
            "Values in the registry ignored because they could not be decoded.",
            service.watch.malformed,
        )
        durations = HistogramMetricFamily(
            "labelbus_task_duration_seconds",
            "Time from the request to the worker's answer, by route: hit, wait for a holder, load, one more copy, or "
            "any worker.",
            labels=["route"],
        )
        bounds = [*map(str, BOUNDS_S), "+Inf"]
        for histogram in service.durations:
            buckets = list(zip(bounds, map(float, histogram.at_most), strict=True))
            durations.add_metric([histogram.route], buckets, histogram.sum_s)
        yield durations
        yield GaugeMetricFamily(
            "labelbus_parameters_held_bytes",
            "Bytes of parameters of all requests in flight.",
            service.in_flight.held_bytes,
        )

    def _workers(self) -> Iterator[Metric]:
        uses = sorted(self._service.router.uses(), key=lambda use: use.worker_id)
        live = [use for use in uses if not use.draining]
        yield GaugeMetricFamily("labelbus_workers", "Known workers that take tasks.", len(live))
        yield GaugeMetricFamily(
            "labelbus_workers_broken",
            "Known workers that refuse every task while they say that they have a free slot.",
            len(self._service.router.broken_workers()),
        )
        yield GaugeMetricFamily("labelbus_slots", "Slots of those workers.", sum(use.slots for use in live))
        yield GaugeMetricFamily(
            "labelbus_slots_busy",
            "Slots of those workers that run a task, of whatever dispatcher.",
            sum(min(use.running, use.slots) for use in live),
        )
        slots = _of_workers("labelbus_worker_slots", "Tasks that the worker runs at a time.")
        running = _of_workers("labelbus_worker_tasks", "Tasks that the worker has, of whatever dispatcher.")
        capacity = _of_workers("labelbus_worker_capacity_labels", "Labels that the worker can hold.")
        held = _of_workers("labelbus_worker_labels", "Labels that the worker holds or is loading.")
        loading = _of_workers("labelbus_worker_labels_loading", "Labels that the worker is loading.")
        draining = _of_workers("labelbus_worker_draining", "1 while the worker finishes its tasks and takes no more.")
        for use in uses if len(uses) <= MOST_WORKERS else ():
            names = [use.worker_id]
            slots.add_metric(names, use.slots)
            running.add_metric(names, use.running)
            capacity.add_metric(names, use.capacity)
            held.add_metric(names, use.labels)
            loading.add_metric(names, use.loading)
            draining.add_metric(names, float(use.draining))
        yield from (slots, running, capacity, held, loading, draining)

    def _connection(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("labelbus_nats_connected", "1 while NATS is reachable.", float(self._bus.connected))
        yield CounterMetricFamily("labelbus_nats_reconnects", "Reconnections to NATS.", self._bus.reconnects)
        yield CounterMetricFamily(
            "labelbus_log_records_shipped", "Log records stored in the log stream.", self._shipper.shipped
        )
        yield CounterMetricFamily(
            "labelbus_log_records_dropped", "Log records dropped because the buffer was full.", self._shipper.dropped
        )


def _of_workers(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=["worker"])


def _counters(name: str, text: str, label: str, values: dict[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family
