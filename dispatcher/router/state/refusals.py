"""Reasons for which a task is rejected, each a value with its message for the client."""

from typing import ClassVar

import msgspec

from dispatcher.router.messages import Reason


class DeadlinePassed(msgspec.Struct, frozen=True):
    """The task's deadline passed after it had waited `waited_s`."""

    waited_s: float
    reason: ClassVar = Reason.DEADLINE
    retry_after_s: ClassVar = 0.0

    @property
    def message(self) -> str:
        """Sentence for the client."""
        return f"its deadline passed after it had waited {self.waited_s:.3f} s"


class QueueFull(msgspec.Struct, frozen=True, kw_only=True):
    """The queue of the router, or of the label, is at its limit. `retry_after_s` is a guess at when there is room."""

    label: str
    waiting: int
    waiting_for_label: int
    retry_after_s: float
    reason: ClassVar = Reason.QUEUE_FULL

    @property
    def message(self) -> str:
        """Sentence for the client."""
        return f"{self.waiting} tasks wait, {self.waiting_for_label} of them for {self.label}: try again later"


class BouncedTooOften(msgspec.Struct, frozen=True):
    """The task met a busy worker too often."""

    bounces: int
    reason: ClassVar = Reason.QUEUE_FULL
    retry_after_s: ClassVar = 1.0

    @property
    def message(self) -> str:
        """Sentence for the client."""
        return f"{self.bounces} workers that it was sent to were busy: try again later"


class NoWorker(msgspec.Struct, frozen=True):
    """No worker is connected."""

    reason: ClassVar = Reason.NO_WORKER
    retry_after_s: ClassVar = 1.0
    message: ClassVar = "no worker is connected: start one, then try again"


class UnknownTaskType(msgspec.Struct, frozen=True):
    """No connected worker runs tasks of this type."""

    task_type: str
    reason: ClassVar = Reason.UNKNOWN_TASK_TYPE
    retry_after_s: ClassVar = 0.0

    @property
    def message(self) -> str:
        """Sentence for the client."""
        return (
            f"no worker runs tasks of type {self.task_type}: check its spelling, or start a worker that has a handler "
            "for it (each worker's registry entry lists its task types)"
        )


class LostTooOften(msgspec.Struct, frozen=True):
    """The task was lost with these workers, and may not be run again."""

    worker_ids: tuple[str, ...]
    retry: bool
    reason: ClassVar = Reason.GAVE_UP
    retry_after_s: ClassVar = 0.0

    @property
    def message(self) -> str:
        """Sentence for the client."""
        why = "" if self.retry else " and may not be run twice"
        return (
            f"it was lost with worker {', '.join(self.worker_ids)}{why}: look into their logs before you send it again"
        )


Refusal = DeadlinePassed | QueueFull | BouncedTooOften | NoWorker | UnknownTaskType | LostTooOften
