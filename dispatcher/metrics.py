"""What the dispatcher counts, as Prometheus reads it.

Everything is worked out when somebody asks: a task costs nothing for it but what the service counts anyway. Series are
bounded by `MOST_WORKERS` workers, `MOST_LABELS` labels, and the fixed sets of outcomes, events and routes.
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
from dispatcher.durations import BOUNDS_S
from dispatcher.service import DispatcherService

MEDIA_TYPE: Final = "text/plain; version=0.0.4"
"""Of `Metrics.text`, in UTF-8: what every scraper reads, KEDA's `metrics-api` among them."""

MOST_LABELS: Final = 20
"""Labels whose queues are named: those with the longest."""

MOST_WORKERS: Final = 300
"""Workers that are told of one by one; in a larger pool that would hold the loop up for more than 10 ms."""

OUTCOMES: Final = ("answered", "failed", "rejected", "expired", "cancelled")
"""Each task that was submitted ends in one of them."""

EVENTS: Final = ("retried", "bounced", "late", "lost")
"""What may happen to a task on its way, more than once."""


class Metrics:
    """The text of `GET /metrics`: this dispatcher, the workers as it sees them, and its process."""

    def __init__(self, bus: Bus, service: DispatcherService, shipper: LogShipper) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(DispatcherCollector(bus, service, shipper))
        ProcessCollector(registry=self._registry)  # processor time, memory, files; nothing where there is no /proc

    def text(self) -> bytes:
        """All metrics as they are now, of type `MEDIA_TYPE`."""
        return generate_latest(self._registry)


class DispatcherCollector(Collector):
    """Reads what is there, and changes nothing."""

    def __init__(self, bus: Bus, service: DispatcherService, shipper: LogShipper) -> None:
        self._bus = bus
        self._service = service
        self._shipper = shipper

    def describe(self) -> list[Metric]:
        """Nothing: there is one collector of these names in its registry."""
        return []

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        yield InfoMetricFamily(
            "labelbus_build",
            "The dispatcher that runs.",
            {"version": labelbus_version(), "python": platform.python_version()},
        )
        yield from self._tasks()
        yield from self._workers()
        yield from self._connection()

    def _tasks(self) -> Iterator[Metric]:
        service, counts, router = self._service, self._service.counts, self._service.router
        yield GaugeMetricFamily("labelbus_tasks_waiting", "Tasks that wait here for a worker.", router.waiting)
        waiting = GaugeMetricFamily(
            "labelbus_label_tasks_waiting",
            f"Tasks that wait here for a worker, of the {MOST_LABELS} labels with the most, if every worker runs them.",
            labels=["label"],
        )
        for label, count in router.longest_queues(MOST_LABELS):
            waiting.add_metric([label], count)
        yield waiting
        yield GaugeMetricFamily(
            "labelbus_tasks_in_flight", "Tasks sent to a worker, or to any, and not answered yet.", router.running
        )
        yield CounterMetricFamily("labelbus_tasks_submitted", "Tasks taken from clients.", counts.submitted)
        yield _counters(
            "labelbus_tasks",
            "Tasks by what became of them: answered by a worker, failed there, rejected here, past their deadline, or "
            "given up by the client.",
            "outcome",
            {name: getattr(counts, name) for name in OUTCOMES},
        )
        yield _counters(
            "labelbus_task_events",
            "What happened to tasks on their way: tried again after a failure, sent back because the worker was busy "
            "or gone, answered too late, lost on the wire.",
            "event",
            {name: getattr(counts, name) for name in EVENTS},
        )
        yield CounterMetricFamily(
            "labelbus_messages_malformed", "Messages ignored because they could not be read.", counts.malformed
        )
        durations = HistogramMetricFamily(
            "labelbus_task_duration_seconds",
            "From the request to the answer of a worker, by route: a hit, a wait for a holder, a load, one more copy, "
            "or any worker.",
            labels=["route"],
        )
        bounds = [*map(str, BOUNDS_S), "+Inf"]
        for histogram in service.durations:
            buckets = list(zip(bounds, map(float, histogram.at_most), strict=True))
            durations.add_metric([histogram.route], buckets, histogram.sum_s)
        yield durations
        yield GaugeMetricFamily(
            "labelbus_parameters_held_bytes", "Parameters of all tasks under way.", service.held_bytes
        )

    def _workers(self) -> Iterator[Metric]:
        uses = sorted(self._service.router.uses(), key=lambda use: use.worker_id)
        live = [use for use in uses if not use.draining]
        yield GaugeMetricFamily("labelbus_workers", "Workers that are known and take tasks.", len(live))
        yield GaugeMetricFamily("labelbus_slots", "Slots of those workers.", sum(use.slots for use in live))
        yield GaugeMetricFamily(
            "labelbus_slots_busy",
            "Slots of those workers that run a task of any dispatcher.",
            sum(min(use.running, use.slots) for use in live),
        )
        slots = _of_workers("labelbus_worker_slots", "Tasks that the worker runs at once.")
        running = _of_workers("labelbus_worker_tasks", "Tasks that the worker has, of any dispatcher.")
        capacity = _of_workers("labelbus_worker_capacity_labels", "Labels that the worker can hold.")
        held = _of_workers("labelbus_worker_labels", "Labels that the worker holds or loads.")
        loading = _of_workers("labelbus_worker_labels_loading", "Labels that the worker loads.")
        draining = _of_workers("labelbus_worker_draining", "1 while the worker ends what it has and takes no more.")
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
        yield CounterMetricFamily("labelbus_nats_reconnects", "Times that NATS was found again.", self._bus.reconnects)
        yield CounterMetricFamily(
            "labelbus_log_records_shipped", "Log records that are in the log stream.", self._shipper.shipped
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
