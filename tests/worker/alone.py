"""One task in a run of its own, as the worker runs it."""

from typing import Any

from worker.tasks import TaskContext, TaskType


async def alone(kind: TaskType, context: TaskContext, parameters: Any) -> bytes:
    """Return the task's output, or raise its error."""
    return kind.encode(await kind.run_alone(context, parameters))
