"""labelbus: sends each task to a worker that already holds its label.

`Client` and `AsyncClient` submit tasks over HTTP; all that they raise is a `LabelbusError`. For task types of one's
own there are `task_type`, `TaskContext` and `pass_timeout_s` (`from labelbus import task_type`), in a module that
`labelbus worker --handlers your.module` loads.
"""

from typing import TYPE_CHECKING

from bus.errors import (
    BadParametersError,
    InvalidInputError,
    LabelbusError,
    ProblemError,
    RequestTimeoutError,
    UnavailableError,
)
from labelbus.client import AsyncClient, Client
from labelbus.http_messages import TaskResult, Uploaded

if TYPE_CHECKING:
    from worker.tasks import TaskContext, pass_timeout_s, task_type

__all__ = [
    "AsyncClient",
    "BadParametersError",
    "Client",
    "InvalidInputError",
    "LabelbusError",
    "ProblemError",
    "RequestTimeoutError",
    "TaskContext",
    "TaskResult",
    "UnavailableError",
    "Uploaded",
    "pass_timeout_s",
    "task_type",
]


def __getattr__(name: str) -> object:
    """Import the parts of a worker on demand: a client needs none of a worker's packages."""
    if name in {"TaskContext", "pass_timeout_s", "task_type"}:
        from worker import tasks

        return getattr(tasks, name)
    raise AttributeError(f"module 'labelbus' has no attribute {name!r}")
