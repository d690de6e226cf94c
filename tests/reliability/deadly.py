"""Task types for `--handlers`: some kill their worker, one blocks its event loop; those with a file note their runs."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

from worker.tasks import TaskContext, task_type


@task_type("die")
async def die(context: TaskContext, parameters: dict[str, Any]) -> None:
    """End the process as the kernel would for want of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


@task_type("die_in_company", passes=True)
async def die_in_company(contexts: list[TaskContext], parameters: list[dict[str, Any]]) -> list[dict[str, int]]:
    """Note how many tasks share the pass, take a while, and end the process if a task of the pass says so."""
    with Path(parameters[0]["file"]).open("a") as file:  # noqa: ASYNC230  # a line
        file.write(f"{len(contexts)} {any(task.get('die') for task in parameters)}\n")
    await asyncio.sleep(0.1)
    if any(task.get("die") for task in parameters):
        os.kill(os.getpid(), signal.SIGKILL)
    return [{"shared": len(contexts)}] * len(contexts)


@task_type("count_and_die_once")
async def count_and_die_once(context: TaskContext, parameters: dict[str, Any]) -> dict[str, int]:
    """Note this run in the file, and kill the worker if it is the task's first."""
    runs = _note_run(context.task_id, Path(parameters["file"]))
    if runs == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"runs": runs}


@task_type("count_and_block_once")
async def count_and_block_once(context: TaskContext, parameters: dict[str, Any]) -> dict[str, int]:
    """Note this run, and block the event loop for so many seconds on the first one."""
    runs = _note_run(context.task_id, Path(parameters["file"]))
    if runs == 1:
        time.sleep(parameters["seconds"])  # noqa: ASYNC251  # the fault that is tested
    return {"runs": runs}


def _note_run(task_id: str, notes: Path) -> int:
    with notes.open("a") as file:
        file.write(f"{task_id}\n")
    return notes.read_text().count(task_id)
