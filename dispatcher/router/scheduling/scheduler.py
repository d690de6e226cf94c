"""Interface of the two schedulers: late binding (by label) and random (the queue group chooses)."""

from collections.abc import Iterable
from typing import Protocol

from dispatcher.router.state.workers import PoolLabel, PoolTask, Worker


class QueueGroup:
    """The place of a task whose worker the queue group chooses."""


QUEUE_GROUP = QueueGroup()

Place = Worker | QueueGroup
"""Place at which a task can run at once."""


class Scheduler(Protocol):
    """Brings waiting tasks and free workers together. All times are seconds of the router's clock."""

    chooses_workers: bool
    """False if the queue group chooses, so that nothing is to be shared out between dispatchers."""

    def find_place(self, now: float, task: PoolTask) -> Place | None:
        """Return where a new task should run at once, None if it has to wait."""

    def start(self, now: float, task: PoolTask, place: Place) -> None:
        """Run a task that stands in no queue there."""

    def enqueue(self, now: float, task: PoolTask) -> None:
        """Let a task wait: a new one at the end, one that came back at its place by age."""

    def enqueue_bounced(self, now: float, task: PoolTask, *, retry_after_s: float) -> None:
        """Let a task wait that the queue group did not take, to be offered again after this time at the latest."""

    def remove(self, now: float, task: PoolTask) -> None:
        """Take a waiting task out."""

    def remove_all(self) -> list[PoolTask]:
        """Take all waiting tasks out; return them by age."""

    def wake(self, now: float, subject: PoolLabel | PoolTask) -> None:
        """Act on a timer of a label or a waiting task."""

    def serve(self, now: float, worker: Worker) -> None:
        """Give a worker with a free slot as much as it can take."""

    def serve_queue_group(self, now: float) -> None:
        """Send to the queue group what it has room for, where the queue group chooses."""

    def offer(self, now: float, labels: Iterable[PoolLabel]) -> None:
        """Find other workers for the tasks of labels that lost a holder."""

    def release_stranded(self, now: float) -> None:
        """Let tasks that wait for another worker than they were lost with run anywhere, if no other is left."""

    def ensure_progress(self, now: float) -> None:
        """Set a timer if nothing else would move the waiting tasks on."""
