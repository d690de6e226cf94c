"""The run of one task: its label is loaded, it waits for a slot, its handler runs, and a `Result` says how it ended."""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final

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
from worker.admission import Admission
from worker.clock import SenderClocks
from worker.completed import Completed, hundredths
from worker.holder import LabelHolder
from worker.runtimes.protocol import Runtime
from worker.tasks import Limits, TaskContext, TaskType
from worker.tokens import Tokens

MAX_REASON_CHARS: Final = 4_000


class TaskRunner:
    """Runs tasks in the slots of the admission. A fault in a task is that task's result, and disturbs nothing else."""

    def __init__(
        self,
        worker_id: str,
        task_types: dict[str, TaskType],
        admission: "Admission[asyncio.Future[None]]",
        holder: LabelHolder,
        runtime: Runtime,
        tokens: Tokens,
        *,
        limits: Limits,
        max_output_bytes: Callable[[], int],
        log_completed: Callable[[Completed], None],
    ) -> None:
        self._worker_id: Final = worker_id
        self._task_types = task_types
        self._admission = admission
        self._holder = holder
        self._runtime = runtime
        self._tokens = tokens
        self._limits = limits
        self._max_output_bytes = max_output_bytes
        self._log_completed = log_completed
        self._clock = UnixClock()
        self._clocks = SenderClocks()

    async def run(self, task: Task, sender: str, arrived: float) -> Result:
        """Run one task, which came from `sender` at `arrived` (monotonic seconds), and return its result.

        Whatever the handler raises becomes a failed result: also what is no `Exception`, since a KeyboardInterrupt
        or SystemExit that leaves its asyncio task stops the event loop, and any other leaves the task unanswered.
        """
        try:
            return await self._run(task, sender, arrived)
        except LabelbusError as exc:
            return self._failed(task, exc)
        except BaseException as exc:  # noqa: BLE001  # see above
            if isinstance(exc, asyncio.CancelledError) and _is_cancelled():
                return self._failed(task, RuntimeUnavailableError("the worker had to stop before the task was done"))
            logger.bind(task_id=task.task_id, label=task.label).exception("task failed unexpectedly")
            return self._failed(task, WorkerError(f"{task.task_type} failed: {_text_of(exc)}"))

    async def _run(self, task: Task, sender: str, arrived: float) -> Result:
        deadline = self._deadline(task, sender)
        task_type = self._task_types.get(task.task_type)
        if task_type is None:
            raise UnknownTaskTypeError(
                f"this worker has no handler for {task.task_type}; it has {', '.join(sorted(self._task_types))}"
            )
        parameters = task_type.decode(task.parameters)
        _check_deadline(task, deadline)
        use = self._holder.hit(task.label)
        if use is None:
            use = await self._holder.acquire(task.label, evict_hint=task.evict_label)
        with use:
            if not use.hit:
                logger.bind(task_id=task.task_id, label=task.label, load_ms=round(use.load_ms, 1)).info(
                    f"LABEL {'JOIN' if use.joined else 'MISS'}: {task.label}"
                )
            if self._admission.free_slots:
                self._admission.start()
            else:
                await self._wait_for_slot()
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
                self._free_slot()
        if len(output) > (limit := self._max_output_bytes()):
            raise TooLargeError(
                f"the result of {task.task_type} has {len(output):,} bytes, over the {limit:,} that fit in a NATS "
                "message: ask for less in one task, or raise max_payload on the NATS server"
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

    async def _wait_for_slot(self) -> None:
        ticket: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._admission.queue(ticket)
        try:
            await ticket
        except asyncio.CancelledError:
            if ticket.cancelled():
                self._admission.withdraw(ticket)
            else:  # it got the slot in the same moment
                self._free_slot()
            raise

    def _free_slot(self) -> None:
        """Free a slot, and wake the task that has it from now on."""
        ticket = self._admission.finish()
        while ticket is not None and ticket.cancelled():
            ticket = self._admission.finish()
        if ticket is not None:
            ticket.set_result(None)

    def _deadline(self, task: Task, sender: str) -> float:
        """Return the task's deadline in monotonic seconds; infinity if it has none."""
        now_ms = self._clock.now_ms()
        deadline_ms = self._clocks.deadline_here(
            sender, deadline_ms=task.deadline_ms, sent_ms=task.sent_ms, now_ms=now_ms
        )
        return time.monotonic() + (deadline_ms - now_ms) / 1000 if task.deadline_ms else math.inf

    def _failed(self, task: Task, exc: LabelbusError) -> Result:
        message = _text_of(exc)
        log = logger.bind(
            task_id=task.task_id,
            task_type=task.task_type,
            label=task.label,
            route=task.route,
            waited_ms=hundredths(task.waited_ms),
            expected_ms=hundredths(task.expected_ms),
            attempt=task.attempt,
            code=exc.code,
            reason=message,
        )
        if isinstance(exc, WorkerError | DeadlineError):
            log.error("task failed")
        else:
            log.info("task refused")
        return Result(
            task_id=task.task_id,
            worker_id=self._worker_id,
            status=Status.FAILED,
            error_code=exc.code,
            error_message=message,
            attempt=task.attempt,
        )


def _check_deadline(task: Task, deadline: float) -> float:
    """Return the time now, in monotonic seconds; `DeadlineError` if the deadline has passed."""
    now = time.monotonic()
    if now >= deadline:
        raise DeadlineError(f"the deadline of {task.task_id} passed before work on it began")
    return now


def _is_cancelled() -> bool:
    """Return whether cancellation of the running task was requested; its code may also raise CancelledError itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _text_of(exc: BaseException) -> str:
    """Return the exception's text, fit for a message on the bus, whatever a handler's own exception does."""
    try:
        text = reason(exc)
    except Exception:  # noqa: BLE001  # a faulty __str__
        text = type(exc).__name__
    return text[:MAX_REASON_CHARS].encode(errors="replace").decode()
