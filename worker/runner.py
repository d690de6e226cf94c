"""A task on a worker: its label is taken up, its turn comes, its handler runs; what became of it is a `Result`."""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final

import msgspec
from loguru import logger

from bus.clock import UnixClock
from bus.errors import (
    DeadlineError,
    LabelbusError,
    RuntimeUnavailableError,
    TooLargeError,
    UnknownTaskTypeError,
    WorkerError,
    reason,
)
from bus.messages import Result, Status, Task
from worker.clock import SenderClocks
from worker.holder import LabelHolder
from worker.runtimes.protocol import Runtime
from worker.tasks import Limits, TaskContext, TaskType
from worker.tokens import Tokens


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Why a task came to this worker, what it met there and what it cost, as its log line tells it."""

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


class Completed(msgspec.Struct, frozen=True):
    """The log entry of a task that ran, `seconds` from its arrival to its end."""

    task: Task
    result: Result
    seconds: float

    def event(self) -> str:
        """In the words that the published benchmark looks for."""
        return f"Task completed in {self.seconds:.4f} seconds"

    def fields(self) -> Figures:
        """The rest, times in milliseconds."""
        task, result = self.task, self.result
        return Figures(
            task_id=task.task_id,
            task_type=task.task_type,
            label=task.label,
            route=task.route,
            label_hit=result.label_hit,
            waited_ms=_hundredths(task.waited_ms),
            queue_ms=_hundredths(result.queue_ms),
            load_ms=_hundredths(result.load_ms),
            run_ms=_hundredths(result.run_ms),
            expected_ms=_hundredths(task.expected_ms),
            attempt=task.attempt,
        )


class TaskRunner:
    """Runs tasks, `slots` of them at once. A fault in one of them is that one's answer, and no more."""

    def __init__(
        self,
        worker_id: str,
        task_types: dict[str, TaskType],
        holder: LabelHolder,
        runtime: Runtime,
        tokens: Tokens,
        *,
        slots: int,
        limits: Limits,
        max_output_bytes: Callable[[], int],
        log_completed: Callable[[Completed], None],
    ) -> None:
        self._worker_id: Final = worker_id
        self._task_types = task_types
        self._holder = holder
        self._runtime = runtime
        self._tokens = tokens
        self._slots = asyncio.Semaphore(slots)
        self._limits = limits
        self._max_output_bytes = max_output_bytes
        self._log_completed = log_completed
        self._clock = UnixClock()
        self._clocks = SenderClocks()

    async def run(self, task: Task, sender: str, arrived: float) -> Result:
        """Run one task, which came from `sender` at `arrived` (monotonic seconds); a Result says what became of it."""
        try:
            return await self._run(task, sender, arrived)
        except LabelbusError as exc:
            return self._failed(task, exc)
        except asyncio.CancelledError:
            return self._failed(task, RuntimeUnavailableError("the worker had to stop before the task was done"))
        except (Exception, SystemExit) as exc:  # noqa: BLE001  # a task's own fault must never take the worker down
            logger.bind(task_id=task.task_id, label=task.label).exception("task failed unexpectedly")
            return self._failed(task, WorkerError(f"{task.task_type} failed: {reason(exc)}"))

    async def _run(self, task: Task, sender: str, arrived: float) -> Result:
        deadline = self._deadline(task, sender)
        task_type = self._task_types.get(task.task_type)
        if task_type is None:
            raise UnknownTaskTypeError(
                f"this worker has no handler for {task.task_type}; it has {', '.join(sorted(self._task_types))}"
            )
        parameters = task_type.decode(task.parameters)
        _check_deadline(task, deadline)
        with await self._holder.acquire(task.label, evict_hint=task.evict_label) as use:
            if not use.hit:
                logger.bind(task_id=task.task_id, label=task.label, load_ms=round(use.load_ms, 1)).info(
                    f"LABEL {'JOIN' if use.joined else 'MISS'}: {task.label}"
                )
            await self._slots.acquire()
            try:
                began = _check_deadline(task, deadline)
                context = TaskContext(
                    task_id=task.task_id,
                    label=task.label,
                    runtime=self._runtime,
                    tokens=self._tokens,
                    limits=self._limits,
                    deadline=None if deadline == math.inf else deadline,
                )
                output = task_type.encode(await task_type.handler(context, parameters))
                ended = time.monotonic()
            finally:
                self._slots.release()
        if len(output) > (limit := self._max_output_bytes()):
            raise TooLargeError(
                f"the result of {task.task_type} has {len(output):,} bytes, and NATS takes {limit:,}; ask for less at "
                "once, or raise max_payload on the NATS server"
            )
        result = Result(
            task_id=task.task_id,
            worker_id=self._worker_id,
            status=Status.OK,
            output=output,
            label_hit=use.hit,
            queue_ms=max(0.0, (began - arrived) * 1000 - use.load_ms),
            load_ms=use.load_ms,
            run_ms=(ended - began) * 1000,
            evicted_label=use.evicted,
            attempt=task.attempt,
        )
        self._log_completed(Completed(task, result, ended - arrived))
        return result

    def _deadline(self, task: Task, sender: str) -> float:
        """The task's deadline as monotonic seconds; infinite if it has none."""
        now_ms = self._clock.now_ms()
        deadline_ms = self._clocks.deadline_here(
            sender, deadline_ms=task.deadline_ms, sent_ms=task.sent_ms, now_ms=now_ms
        )
        return time.monotonic() + (deadline_ms - now_ms) / 1000 if task.deadline_ms else math.inf

    def _failed(self, task: Task, exc: LabelbusError) -> Result:
        log = logger.bind(
            task_id=task.task_id,
            task_type=task.task_type,
            label=task.label,
            route=task.route,
            waited_ms=_hundredths(task.waited_ms),
            expected_ms=_hundredths(task.expected_ms),
            attempt=task.attempt,
            code=exc.code,
        )
        if isinstance(exc, WorkerError | DeadlineError):
            log.bind(reason=reason(exc)).error("task failed")
        else:
            log.bind(reason=reason(exc)).info("task refused")
        return Result(
            task_id=task.task_id,
            worker_id=self._worker_id,
            status=Status.FAILED,
            error_code=exc.code,
            error_message=reason(exc)[:4000],
            attempt=task.attempt,
        )


def _check_deadline(task: Task, deadline: float) -> float:
    """The time now; `DeadlineError` if that is too late to begin."""
    now = time.monotonic()
    if now >= deadline:
        raise DeadlineError(f"the deadline of {task.task_id} passed before work on it began")
    return now


def _hundredths(ms: float) -> float:
    """Rounded to 0.01 ms, at half the price of `round`, which goes by way of decimal digits."""
    return int(ms * 100 + 0.5) / 100
