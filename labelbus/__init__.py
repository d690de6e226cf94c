"""labelbus: sends each task to a worker that already holds its label.

`Client` and `AsyncClient` submit tasks over HTTP. For task types of one's own: `task_type` and `TaskContext`
(`from labelbus import task_type`), in a module that `labelbus worker --handlers your.module` loads.
"""

from typing import TYPE_CHECKING

from labelbus.client import AsyncClient, Client, ProblemError, TaskResult, Uploaded

if TYPE_CHECKING:
    from worker.tasks import TaskContext, task_type

__all__ = ["AsyncClient", "Client", "ProblemError", "TaskContext", "TaskResult", "Uploaded", "task_type"]


def __getattr__(name: str) -> object:
    """Task types on demand: a client needs none of what a worker needs."""
    if name in {"TaskContext", "task_type"}:
        from worker import tasks

        return getattr(tasks, name)
    raise AttributeError(f"module 'labelbus' has no attribute {name!r}")
