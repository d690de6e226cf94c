"""The way of a task through the worker: its label is loaded, it gets a slot, it runs, a `Result` says how it ended."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
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
)
from bus.messages import Result, Status
from worker.clock import SenderClocks
from worker.completed import Completed, hundredths
from worker.error_text import text_of
from worker.holder import LabelHolder
from worker.in_flight import TasksInFlight
from worker.pass_runner import PassRunner, Ran, deadline_error, is_cancelled
from worker.passes import Gathering
from worker.taken import Answered, TakenTask
from worker.tasks import TaskType

ANSWER_BYTES: Final = 256 * 1024
ANSWER_TASKS: Final = 16
"""Outputs and tasks of a pass that are encoded before these are sent, and others have a turn: 1 ms of work at most."""

Answer = Callable[[list[Answered]], Awaitable[None]]


class TaskRunner:
    """Runs tasks in the slots of the gathering. A fault in a task is that task's result, and disturbs nothing else.

    `answer` is called with tasks that have ended, once for each; their slots are free by then. Whatever a handler
    raises becomes a failed result: also what is no `Exception`, since a KeyboardInterrupt or SystemExit that leaves its
    asyncio task stops the event loop, and any other leaves the task unanswered.
    """

    def __init__(
        self,
        worker_id: str,
        task_types: dict[str, TaskType],
        gathering: Gathering[TakenTask],
        holder: LabelHolder,
        in_flight: TasksInFlight,
        passes: PassRunner,
        *,
        max_output_bytes: Callable[[], int],
        answer: Answer,
        log_completed: Callable[[Completed], None],
    ) -> None:
        self._worker_id: Final = worker_id
        self._task_types = task_types
        self._gathering = gathering
        self._holder = holder
        self._in_flight = in_flight
        self._passes = passes
        self._max_output_bytes = max_output_bytes
        self._answer = answer
        self._log_completed = log_completed
        self._clock = UnixClock()
        self._clocks = SenderClocks()

    def begin(self, taken: TakenTask) -> None:
        """Have the task run: now if its label is loaded and a slot is free, else when both are so."""
        try:
            self._check(taken)
            use = self._holder.hit(taken.task.label)
        except BaseException as exc:  # noqa: BLE001  # what a parameters type of one's own raises; see above
            self._in_flight.serve(self._fail(taken, exc), name=taken.task.task_id)
            return
        if use is None:
            self._in_flight.serve(self._load(taken), name=taken.task.task_id)
        else:
            taken.use = use
            self._ready(taken)

    async def cancel(self) -> None:
        """Cancel all tasks that wait or run, and return when they are answered."""
        while self._in_flight.is_serving:
            self._gathering.clear()
            await self._in_flight.cancel()
        for taken in self._in_flight.tasks():
            await self._fail(taken, RuntimeUnavailableError("the worker had to stop before the task was done"))

    def _check(self, taken: TakenTask) -> None:
        """Decode the parameters, and find out the deadline, by this clock."""
        task, kind = taken.task, taken.kind
        if kind is None:
            raise UnknownTaskTypeError(
                f"this worker has no handler for {task.task_type}; it has {', '.join(sorted(self._task_types))}"
            )
        taken.deadline = self._deadline(taken)
        taken.parameters = kind.decode(task.parameters)
        if time.monotonic() >= taken.deadline:
            raise deadline_error(taken)

    async def _load(self, taken: TakenTask) -> None:
        """Have the label loaded, and the task run then."""
        task = taken.task
        try:
            use = taken.use = await self._holder.acquire(task.label, evict_hint=task.evict_label)
        except BaseException as exc:  # noqa: BLE001  # see above
            await self._fail(taken, exc)
            return
        if not use.hit:
            logger.bind(task_id=task.task_id, label=task.label, load_ms=round(use.load_ms, 1)).info(
                f"LABEL {'JOIN' if use.joined else 'MISS'}: {task.label}"
            )
        self._ready(taken)

    def _ready(self, taken: TakenTask) -> None:
        """Run a task whose label is loaded, alone if a slot is free; else it gathers with others."""
        task, gathering = taken.task, self._gathering
        if gathering.free_slots:
            gathering.start()
            self._in_flight.serve(self._run_alone(taken), name=task.task_id)
        else:
            gathering.wait(taken, task.label, task.task_type, shares=taken.shares)

    async def _run_alone(self, taken: TakenTask) -> None:
        """Run one task in its slot, hand the slot on, and answer."""
        ran = await self._passes.run_alone(taken)
        self._go_on()
        taken.use.release()
        await self._answer([Answered(taken=taken, result=self._result(ran))])

    async def _run_pass(self, tasks: tuple[TakenTask, ...]) -> None:
        """Run a pass in its slot, hand the slot on, and answer."""
        ran = await self._passes.run(tasks)
        self._go_on()
        for taken in tasks:
            taken.use.release()
        await self._turn()  # the next run begins before the answers of this one are encoded
        answered: list[Answered] = []
        encoded = 0
        for each in ran:
            result = self._result(each)
            answered.append(Answered(taken=each.taken, result=result))
            encoded += len(result.output)
            if encoded > ANSWER_BYTES or len(answered) == ANSWER_TASKS:
                await self._answer(answered)
                await self._turn()
                answered, encoded = [], 0
        if answered:
            await self._answer(answered)

    def _go_on(self) -> None:
        """Free a slot, or run what waits for it."""
        following = self._gathering.finish()
        if not following:
            return
        first = following[0]
        run = self._run_alone(first) if len(following) == 1 else self._run_pass(following)
        self._in_flight.serve(run, name=first.task.task_id)

    async def _turn(self) -> None:
        """Let others have a turn of the event loop; a task that is cancelled answers nevertheless."""
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)

    async def _fail(self, taken: TakenTask, exc: BaseException) -> None:
        """Answer a task that did not come to run."""
        taken.use.release()
        await self._answer([Answered(taken=taken, result=self._failed(taken, exc))])

    def _result(self, ran: Ran) -> Result:
        taken = ran.taken
        task, kind, use = taken.task, taken.kind, taken.use
        assert kind is not None
        if ran.error is not None:
            return self._failed(taken, ran.error, ran.size)
        try:
            output = kind.encode(ran.answer)
            if len(output) > (limit := self._max_output_bytes()):
                raise TooLargeError(
                    f"the result of {task.task_type} has {len(output):,} bytes, over the {limit:,} that fit in a NATS "
                    "message: ask for less in one task, or raise max_payload on the NATS server"
                )
        except BaseException as exc:  # noqa: BLE001  # what an answer of one's own raises; see above
            return self._failed(taken, exc, ran.size)
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

    def _deadline(self, taken: TakenTask) -> float:
        """Return the task's deadline in monotonic seconds; infinity if it has none."""
        task = taken.task
        now_ms = self._clock.now_ms()
        deadline_ms = self._clocks.deadline_here(
            taken.reply.sender, deadline_ms=task.deadline_ms, sent_ms=task.sent_ms, now_ms=now_ms
        )
        return time.monotonic() + (deadline_ms - now_ms) / 1000 if task.deadline_ms else math.inf

    def _failed(self, taken: TakenTask, exc: BaseException, pass_size: int = 1) -> Result:
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
