"""Reconciliation of the router's picture of a worker with the worker's own view of itself."""

from dispatcher.router.lifecycle.contention import Contention, foreign_places
from dispatcher.router.messages import WorkerView
from dispatcher.router.state.state import RouterState
from dispatcher.router.state.workers import PoolLabel, Worker


def is_current(worker: Worker, view: WorkerView) -> bool:
    """Return True if the view is not older than the last one."""
    return view.epoch_ms > worker.epoch_ms or (view.epoch_ms == worker.epoch_ms and view.revision >= worker.revision)


def changes_nothing(worker: Worker, view: WorkerView) -> bool:
    """Return True if all that is new in the view is its revision, as in most results."""
    taken = view.places_taken
    ours = worker.places
    return (
        view.labels == worker.synced_labels
        and not view.loading
        and view.epoch_ms == worker.epoch_ms
        and view.revision >= worker.revision
        and taken is not None
        and worker.foreign == (foreign_places(worker, view, taken) if taken > ours else 0)
        and view.slots == worker.slots
        and view.window == worker.window
        and view.pass_tasks == worker.pass_tasks
        and view.capacity == worker.capacity
        and not (view.draining or worker.draining or worker.yielding or worker.foreign_loads)
        and view.task_types is None
        and not view.load_ms
        and view.worker_id == worker.worker_id
    )


def advance(worker: Worker, view: WorkerView) -> None:
    """Remember a view that changes nothing but the revision."""
    worker.revision = view.revision
    worker.view = view


def apply_view(
    state: RouterState, contention: Contention, now: float, worker: Worker, view: WorkerView
) -> list[PoolLabel]:
    """Bring the worker up to date; return the labels that lost a holder.

    A view may be older than the last assignments: a label that was sent to be loaded and is not in the view is still
    to come, and what was to be evicted for it counts as evicted.
    """
    lost: list[PoolLabel] = []
    worker.epoch_ms = view.epoch_ms
    worker.revision = view.revision
    worker.view = view
    worker.slots = view.slots
    worker.capacity = view.capacity
    worker.window = view.window
    worker.pass_tasks = view.pass_tasks
    if view.pass_types is not None:
        worker.pass_types = frozenset(view.pass_types)
    if view.kind is not None:
        worker.kind = view.kind
    if view.draining != worker.draining:
        was_usable = worker.usable
        state.pool.set_draining(worker, view.draining)
        if was_usable and not worker.usable:
            lost.extend(worker.labels)
            state.detach(worker)
        elif worker.usable and not was_usable:
            state.attach(worker)
    contention.observe(worker, view)
    if view.load_ms:
        for name, load_ms in view.load_ms.items():
            label = state.labels.get(name)
            if label.load_s is None and load_ms > 0:
                label.load_s = load_ms / 1e3
    if view.loading or view.labels != worker.synced_labels:
        _apply_labels(state, now, worker, view, lost)
    worker.recount()
    return lost


def _apply_labels(state: RouterState, now: float, worker: Worker, view: WorkerView, lost: list[PoolLabel]) -> None:
    shown = {*view.labels, *view.loading}
    coming: dict[PoolLabel, None] = {}
    going: set[str] = set()
    for assignment in worker.assignments.values():
        if assignment.label.name not in shown:
            coming[assignment.label] = None
            if assignment.evicted is not None:
                going.add(assignment.evicted.name)
    held = {state.labels.get(name): None for name in (*view.labels, *view.loading) if name not in going}
    in_use = {assignment.label for assignment in worker.assignments.values()}
    excess = len(held) + len(coming) - worker.capacity
    if excess > 0:
        for label in [label for label in held if label not in in_use][:excess]:
            del held[label]
    held |= coming
    for label in [label for label in worker.labels if label not in held]:
        state.drop(worker, label)
        lost.append(label)
    for label in held:
        if label not in worker.labels:
            state.hold(worker, label)
    for name in view.labels:
        state.set_loaded(worker, state.labels.get(name))
    for name in view.loading:
        label = state.labels.get(name)
        if label in held and label not in worker.loading:
            state.set_loading(worker, label, now + state.load_s(label))
    is_exact = not (coming or going or view.loading) and excess <= 0
    state.set_synced(worker, view.labels if is_exact else None)
