"""The log entry of a completed task."""

import msgspec

from bus.messages import Result, Task


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of the entry: the task's route, what it found on the worker, and its times in milliseconds."""

    task_id: str
    task_type: str
    label: str
    route: str
    label_hit: bool
    waited_ms: float
    queue_ms: float
    load_ms: float
    run_ms: float
    expected_ms: float
    attempt: int
    pass_size: int = msgspec.field(name="pass")


class Completed(msgspec.Struct, frozen=True):
    """A task that ran and its result, `seconds` after its arrival at the worker."""

    task: Task
    result: Result
    seconds: float

    def event(self) -> str:
        """Return the line's text, which the published benchmark looks for."""
        return f"Task completed in {self.seconds:.4f} seconds"

    def fields(self) -> Figures:
        """Return the line's fields."""
        task, result = self.task, self.result
        return Figures(
            task_id=task.task_id,
            task_type=task.task_type,
            label=task.label,
            route=task.route,
            label_hit=result.label_hit,
            waited_ms=hundredths(task.waited_ms),
            queue_ms=hundredths(result.queue_ms),
            load_ms=hundredths(result.load_ms),
            run_ms=hundredths(result.run_ms),
            expected_ms=hundredths(task.expected_ms),
            attempt=task.attempt,
            pass_size=result.pass_size,
        )


def hundredths(ms: float) -> float:
    """Round to 0.01 ms, at half the price of `round`, which goes by way of decimal digits."""
    return int(ms * 100 + 0.5) / 100
