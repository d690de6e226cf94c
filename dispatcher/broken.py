"""Log lines about broken workers: those that refuse every task while they say that they have a free slot."""

from typing import Any, Final

from loguru import logger

from dispatcher.router import Router

REASON: Final = "it answers BUSY to every task while its state says that it has a free slot"


class BrokenWorkers:
    """The broken workers that were logged. The router finds them; call `update` when one may have been found."""

    def __init__(self, router: Router[Any]) -> None:
        self._router = router
        self.worker_ids: Final[set[str]] = set()

    def update(self) -> None:
        """Log each worker that is broken since the last call, and each that has answered a task since."""
        broken = set(self._router.broken_workers())
        for worker_id in sorted(broken - self.worker_ids):
            logger.bind(worker=worker_id, reason=REASON).warning("worker broken")
        for worker_id in sorted(self.worker_ids - broken):
            logger.bind(worker=worker_id).info("worker no longer broken")
        self.worker_ids.clear()
        self.worker_ids.update(broken)

    def remove(self, worker_id: str) -> None:
        """Forget a worker that is gone."""
        self.worker_ids.discard(worker_id)
