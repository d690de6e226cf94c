"""A task on a worker, from its arrival until its answer."""

from typing import Any, Final

import msgspec

from bus.messages import Result, Task
from bus.subjects import ReplyAddress
from worker.holder import Use
from worker.tasks import TaskType

NOT_USED: Final = Use(release=lambda: None, hit=False)
"""The use of a label that is not loaded yet."""


class TakenTask(msgspec.Struct, eq=False, kw_only=True):
    """A task that was taken and is not answered; equal to itself only.

    `arrived` and `deadline` are monotonic seconds. `parameters` and `deadline` are set when the task has been checked,
    `use` when its label is loaded. `kind` is None if the worker has no handler for the task.
    """

    task: Task
    reply_to: str
    """Subject of the answer."""
    reply: ReplyAddress
    arrived: float
    shares: bool
    """True if the task may share a pass with others of its label and type."""
    kind: TaskType | None
    parameters: Any = None
    deadline: float = 0.0
    use: Use = NOT_USED


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """A taken task with its result."""

    taken: TakenTask
    result: Result
