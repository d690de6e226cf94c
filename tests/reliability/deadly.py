"""Task types for `--handlers`: one that kills its worker, and one that counts its runs in a file."""

import os
import signal
from pathlib import Path
from typing import Any

from worker.tasks import TaskContext, task_type


@task_type("die")
async def die(context: TaskContext, parameters: dict[str, Any]) -> None:
    """End the process as the kernel would for want of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


@task_type("count_and_die_once")
async def count_and_die_once(context: TaskContext, parameters: dict[str, Any]) -> dict[str, int]:
    """Note this run, and take the worker along on the first one."""
    notes = Path(parameters["file"])
    with notes.open("a") as file:  # noqa: ASYNC230  # one line, before the process ends
        file.write(f"{context.task_id}\n")
    runs = notes.read_text().count(context.task_id)
    if runs == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"runs": runs}
