"""`sample_task` on a simulated runtime whose runs take time: its tasks share passes, as those of a model do."""

import time
from typing import Any

import numpy as np

from worker.handlers.sample_task import Sample, spend
from worker.tasks import TaskContext, pass_timeout_s, task_type


@task_type("sample_task", passes=True)
async def sample_pass(contexts: list[TaskContext], parameters: list[Sample]) -> list[dict[str, Any]]:
    """Take one simulated run for all tasks, then sleep and compute for each in turn: one worker does one at a time.

    Returns for each task what `sample_task` does; `elapsed_ms` is from the beginning of the pass.
    """
    started = time.perf_counter()
    context = contexts[0]
    await context.runtime.run(
        context.label, {"tasks": np.zeros(len(contexts), np.uint8)}, timeout_s=pass_timeout_s(contexts)
    )
    answers = []
    for task in parameters:
        if task.times.sleep_ms or task.times.busy_ms:
            await spend(task.times)
        elapsed_ms = (time.perf_counter() - started) * 1000
        answers.append({**task.further, "label": context.label, "elapsed_ms": elapsed_ms})
    return answers
