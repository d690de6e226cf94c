"""The run of one pass: the tasks of one label and task type in one call of their handler, or one task alone."""

import asyncio
import math
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from loguru import logger

from bus.errors import DeadlineError, RuntimeUnavailableError
from worker.error_text import text_of
from worker.pass_laws import PassLaws
from worker.runtimes.protocol import Runtime
from worker.taken import TakenTask
from worker.tasks import Limits, TaskContext, WrongAnswersError
from worker.tokens import Tokens


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """The end of one task in a run that `size` tasks shared, with times in monotonic seconds.

    `answer` is what the handler returned for the task, and means nothing if there is an `error`.
    """

    taken: TakenTask
    began: float
    ended: float
    size: int
    answer: Any = None
    error: BaseException | None = None


class PassRunner:
    """Runs passes, and learns how long they take."""

    def __init__(self, runtime: Runtime, tokens: Tokens, limits: Limits, laws: PassLaws) -> None:
        self._runtime: Final = runtime
        self._tokens: Final = tokens
        self._limits: Final = limits
        self._laws: Final = laws

    async def run(self, tasks: Sequence[TakenTask]) -> list[Ran]:
        """Run the tasks, whose labels are loaded, in one call of their handler; return how each ended.

        Raises nothing. A task whose deadline has passed is left out and fails alone. Tasks whose handler failed for all
        of them run again one by one, so that a bad one fails alone; not if the runtime is away or the worker stops.
        """
        began = time.monotonic()
        ready = [taken for taken in tasks if began < taken.deadline]
        ran = [_late(taken, began) for taken in tasks if began >= taken.deadline] if len(ready) < len(tasks) else []
        if not ready:
            return ran
        kind = ready[0].kind
        assert kind is not None
        size = len(ready)
        try:
            answers = await kind.run([self._context(taken) for taken in ready], [taken.parameters for taken in ready])
        except BaseException as exc:  # noqa: BLE001  # a SystemExit that leaves its asyncio task stops the event loop
            if size == 1 or _concerns_all(exc):
                ended = time.monotonic()
                ran += [Ran(taken=taken, began=began, ended=ended, size=size, error=exc) for taken in ready]
                return ran
            failure = exc
        else:
            ended = time.monotonic()
            if kind.passes and self._laws.pass_tasks > 1:
                self._observe(ready, ended - began)
            for taken, answer in zip(ready, answers, strict=True):
                error = answer if kind.passes and isinstance(answer, BaseException) else None
                ran.append(Ran(taken=taken, began=began, ended=ended, size=size, answer=answer, error=error))
            return ran
        logger.bind(task_type=kind.name, label=ready[0].task.label, tasks=size, reason=text_of(failure)).warning(
            "pass failed, its tasks run one by one"
        )
        for taken in ready:
            if is_cancelled():
                ran.append(Ran(taken=taken, began=began, ended=began, size=1, error=asyncio.CancelledError()))
            else:
                ran += await self.run((taken,))
        return ran

    def _context(self, taken: TakenTask) -> TaskContext:
        return TaskContext(
            task_id=taken.task.task_id,
            label=taken.task.label,
            runtime=self._runtime,
            tokens=self._tokens,
            limits=self._limits,
            deadline=None if taken.deadline == math.inf else taken.deadline,
        )

    def _observe(self, tasks: list[TakenTask], seconds: float) -> None:
        """Learn from a run; the first one after a load takes several times as long as the others."""
        if all(taken.use.hit for taken in tasks):
            self._laws.observe(tasks[0].task.label, len(tasks), seconds)


def is_cancelled() -> bool:
    """Return whether cancellation of the running task was requested; its code may also raise CancelledError itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def deadline_error(taken: TakenTask) -> DeadlineError:
    """Return the error of a task whose deadline has passed."""
    return DeadlineError(f"the deadline of {taken.task.task_id} passed before work on it began")


def _late(taken: TakenTask, now: float) -> Ran:
    return Ran(taken=taken, began=now, ended=now, size=1, error=deadline_error(taken))


def _concerns_all(error: BaseException) -> bool:
    """Return whether to run the tasks again is no help: the runtime is away, the handler wrong, the worker stops."""
    return isinstance(error, RuntimeUnavailableError | WrongAnswersError) or (
        isinstance(error, asyncio.CancelledError) and is_cancelled()
    )
