"""What a worker's description of itself changes in the books."""

from dispatcher.router.books import Books
from dispatcher.router.labels import Label
from dispatcher.router.messages import WorkerView
from dispatcher.router.workers import Worker


def is_news(worker: Worker, view: WorkerView) -> bool:
    """True if the view is not older than what is known."""
    return view.epoch_ms > worker.epoch_ms or (view.epoch_ms == worker.epoch_ms and view.revision >= worker.revision)


def changes_nothing(worker: Worker, view: WorkerView) -> bool:
    """True if all that is new in the view is its revision, as in most answers."""
    running = view.running
    return (
        view.labels == worker.synced
        and not view.loading
        and view.epoch_ms == worker.epoch_ms
        and view.revision >= worker.revision
        and running is not None
        and worker.foreign == (running - len(worker.own) if running > len(worker.own) else 0)
        and view.slots == worker.slots
        and view.window == worker.window
        and view.capacity == worker.capacity
        and not (view.draining or worker.draining or worker.yielding or worker.foreign_loads)
        and view.task_types is None
        and not view.load_ms
        and view.worker_id == worker.worker_id
    )


def apply_view(books: Books, now: float, worker: Worker, view: WorkerView) -> list[Label]:
    """Bring the worker up to date; returns the labels that lost a holder.

    A view may be older than the last assignments: a label that was sent to be loaded and is not in the view is still
    to come, and what was to be evicted for it is as good as gone.
    """
    lost: list[Label] = []
    worker.view = view
    worker.slots = view.slots
    worker.capacity = view.capacity
    worker.window = view.window
    if view.draining != worker.draining:
        usable = worker.usable
        books.pool.set_draining(worker, view.draining)
        if usable and not worker.usable:
            lost.extend(worker.labels)
            books.detach(worker)
        elif worker.usable and not usable:
            books.attach(worker)
    if view.running is not None:
        foreign = max(0, view.running - len(worker.own))
        if not worker.yielding:
            worker.foreign = foreign
        elif foreign:
            # Another dispatcher took its turn.
            worker.foreign = foreign
            worker.yielding = False
            worker.look_at = 0.0
        if worker.window:
            worker.foreign_loads = min(worker.foreign, _loads_of_others(worker, view)) if view.loading else 0
    if view.load_ms:
        for name, load_ms in view.load_ms.items():
            label = books.labels.get(name)
            if label.load_s is None and load_ms > 0:
                label.load_s = load_ms / 1e3
    if view.loading or view.labels != worker.synced:
        _apply_labels(books, now, worker, view, lost)
    worker.recount()
    return lost


def _loads_of_others(worker: Worker, view: WorkerView) -> int:
    own = {assignment.label.name for assignment in worker.own.values()}
    return sum(label not in own for label in view.loading)


def _apply_labels(books: Books, now: float, worker: Worker, view: WorkerView, lost: list[Label]) -> None:
    shown = {*view.labels, *view.loading}
    coming: dict[Label, None] = {}
    going: set[str] = set()
    for assignment in worker.own.values():
        if assignment.label.name not in shown:
            coming[assignment.label] = None
            if assignment.evicted is not None:
                going.add(assignment.evicted.name)
    held = {books.labels.get(name): None for name in (*view.labels, *view.loading) if name not in going}
    in_use = {assignment.label for assignment in worker.own.values()}
    excess = len(held) + len(coming) - worker.capacity
    if excess > 0:
        for label in [label for label in held if label not in in_use][:excess]:
            del held[label]
    held |= coming
    for label in [label for label in worker.labels if label not in held]:
        books.drop(worker, label)
        lost.append(label)
    for label in held:
        if label not in worker.labels:
            books.hold(worker, label)
    for name in view.labels:
        worker.loading.pop(books.labels.get(name), None)
    for name in view.loading:
        label = books.labels.get(name)
        if label in held and label not in worker.loading:
            worker.loading[label] = now + books.load_s(label)
    exact = not (coming or going or view.loading) and excess <= 0
    worker.synced = view.labels if exact else None
