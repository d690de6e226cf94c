"""The results of tasks: an output, or the error that the task is answered with, and the log line of each."""

import asyncio
from collections.abc import Callable
from typing import Final

from loguru import logger

from bus.errors import DeadlineError, LabelbusError, RuntimeUnavailableError, TooLargeError, WorkerError
from bus.messages import Result, Status
from worker.completed import Completed, hundredths
from worker.error_text import text_of
from worker.pass_runner import Ran, is_cancelled
from worker.taken import TakenTask


class Results:
    """Makes the results of one worker's tasks; whatever a handler raises, or returns, becomes one.

    `max_output_bytes` limits an output, `log_completed` logs each task that was done.
    """

    def __init__(
        self, worker_id: str, *, max_output_bytes: Callable[[], int], log_completed: Callable[[Completed], None]
    ) -> None:
        self._worker_id: Final = worker_id
        self._max_output_bytes = max_output_bytes
        self._log_completed = log_completed

    def of(self, ran: Ran) -> Result:
        """Return the result of a task that ran, its answer encoded."""
        taken = ran.taken
        task, kind, use = taken.task, taken.kind, taken.use
        assert kind is not None
        if ran.error is not None:
            return self.failed(taken, ran.error, ran.size)
        try:
            output = kind.encode(ran.answer)
            if len(output) > (limit := self._max_output_bytes()):
                raise TooLargeError(
                    f"the result of {task.task_type} has {len(output):,} bytes, over the {limit:,} that fit in a NATS "
                    "message: ask for less in one task, or raise max_payload on the NATS server"
                )
        except BaseException as exc:  # noqa: BLE001  # what an answer of one's own raises
            return self.failed(taken, exc, ran.size)
        result = Result(
            task_id=task.task_id,
            worker_id=self._worker_id,
            status=Status.OK,
            output=output,
            label_hit=use.hit,
            queue_ms=max(0.0, (ran.began - taken.arrived) * 1000 - use.load_ms),
            load_ms=use.load_ms,
            run_ms=(ran.ended - ran.began) * 1000,
            evicted_label=use.evicted,
            attempt=task.attempt,
            pass_size=ran.size,
        )
        self._log_completed(Completed(task, result, ran.ended - taken.arrived))
        return result

    def failed(self, taken: TakenTask, exc: BaseException, pass_size: int = 1) -> Result:
        """Return the result of a task that failed with this error, and log that."""
        task = taken.task
        error = self._error(taken, exc)
        message = text_of(error)
        log = logger.bind(
            task_id=task.task_id,
            task_type=task.task_type,
            label=task.label,
            route=task.route,
            waited_ms=hundredths(task.waited_ms),
            expected_ms=hundredths(task.expected_ms),
            attempt=task.attempt,
            code=error.code,
            reason=message,
        )
        if isinstance(error, WorkerError | DeadlineError):
            log.error("task failed")
        else:
            log.info("task refused")
        return Result(
            task_id=task.task_id,
            worker_id=self._worker_id,
            status=Status.FAILED,
            error_code=error.code,
            error_message=message,
            attempt=task.attempt,
            pass_size=pass_size,
        )

    def _error(self, taken: TakenTask, exc: BaseException) -> LabelbusError:
        """Return the error that the task is answered with."""
        if isinstance(exc, LabelbusError):
            return exc
        if isinstance(exc, asyncio.CancelledError) and is_cancelled():
            return RuntimeUnavailableError("the worker had to stop before the task was done")
        task = taken.task
        logger.bind(task_id=task.task_id, label=task.label).opt(exception=exc).error("task failed unexpectedly")
        return WorkerError(f"{task.task_type} failed: {text_of(exc)}")
