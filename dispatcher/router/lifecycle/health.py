"""Health of workers: pauses after failures, and workers that refuse everything though they say that they are free."""

from dispatcher.router.messages import WorkerView
from dispatcher.router.policy import Health as HealthPolicy
from dispatcher.router.state.workers import Worker


class Health:
    """Counts what each worker does wrong, and says how long it is to be paused for it. Owner of `Worker.paused`."""

    def __init__(self, policy: HealthPolicy) -> None:
        self._policy = policy

    def failed(self, worker: Worker) -> None:
        """Count a retryable failure: the next pause is twice as long."""
        worker.pause_s = min(max(worker.pause_s * 2, self._policy.pause_s), self._policy.pause_max_s)

    def answered(self, worker: Worker) -> None:
        """Count a result of whatever kind: the worker does not refuse everything."""
        worker.false_bounces = 0
        worker.broken = False
        worker.broken_pause_s = 0.0

    def succeeded(self, worker: Worker) -> None:
        """Count a task that went well: the next pause is a short one again."""
        worker.pause_s = 0.0

    def bounced(self, now: float, worker: Worker, view: WorkerView | None) -> None:
        """Count a BUSY answer and the view that came with it; it is false if the worker says that it has room."""
        if (view or worker.view).is_full:
            worker.false_bounces = 0
            return
        if not worker.false_bounces:
            worker.false_bounces_since = now
        worker.false_bounces += 1

    def is_broken(self, now: float, worker: Worker) -> bool:
        """Return True if the worker refuses everything while it says that it is free."""
        if not worker.false_bounces:
            return False
        policy = self._policy
        lasts = now - worker.false_bounces_since >= policy.broken_after_s
        return worker.broken or (lasts and worker.false_bounces >= policy.broken_bounces)

    def mark_broken(self, worker: Worker) -> None:
        """Take the worker for broken until it answers a task; the next pause is twice as long."""
        worker.broken = True
        longer = max(worker.broken_pause_s * 2, self._policy.broken_pause_s)
        worker.broken_pause_s = min(longer, self._policy.broken_pause_max_s)

    def pause(self, worker: Worker) -> None:
        """Pause a worker."""
        worker.paused = True

    def resume(self, worker: Worker) -> None:
        """End the pause of a worker."""
        worker.paused = False
