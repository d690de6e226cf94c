"""Conversion of workers' descriptions of themselves into the router's views."""

from bus.messages import WorkerEntry, WorkerState
from dispatcher.router import WorkerView


def view_of_entry(entry: WorkerEntry) -> WorkerView:
    """Return the view of a registry entry, which has task types and load times, but not the number of running tasks."""
    return WorkerView(
        worker_id=entry.worker_id,
        labels=tuple(entry.labels),
        running=None,
        slots=entry.slots,
        window=entry.window,
        capacity=entry.capacity,
        draining=entry.state == "draining",
        pass_tasks=entry.pass_tasks,
        task_types=entry.task_types,
        pass_types=entry.pass_types,
        kind=entry.kind,
        load_ms={label: held.load_ms for label, held in entry.labels.items()},
        epoch_ms=entry.epoch_ms,
        revision=entry.revision,
    )


def view_of_state(state: WorkerState) -> WorkerView:
    """Return the view of a state, which comes with each result and whenever the worker changes."""
    return WorkerView(
        worker_id=state.worker_id,
        labels=state.labels,
        loading=state.loading,
        running=state.running,
        slots=state.slots,
        window=state.window,
        capacity=state.capacity,
        draining=state.draining,
        pass_tasks=state.pass_tasks,
        places=state.passes,
        epoch_ms=state.epoch_ms,
        revision=state.revision,
    )
