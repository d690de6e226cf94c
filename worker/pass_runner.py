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
    size: int = 1
    answer: Any = None
    error: BaseException | None = None


class PassRunner:
    """Runs passes, and learns how long they take."""

    def __init__(self, runtime: Runtime, tokens: Tokens, limits: Limits, laws: PassLaws) -> None:
        self._runtime: Final = runtime
        self._tokens: Final = tokens
        self._limits: Final = limits
        self._laws: Final = laws

    async def run_alone(self, taken: TakenTask) -> Ran:
        """Run one task, whose label is loaded; raises nothing."""
        began = time.monotonic()
        if began >= taken.deadline:
            return _late(taken, began)
        kind = taken.kind
        assert kind is not None
        try:
            answer = await kind.run_alone(self._context(taken), taken.parameters)
        except BaseException as exc:  # noqa: BLE001  # a SystemExit that leaves its asyncio task stops the event loop
            return Ran(taken=taken, began=began, ended=time.monotonic(), error=exc)
        ended = time.monotonic()
        if kind.passes and taken.use.hit:
            self._laws.observe(taken.task.label, 1, ended - began)
        return Ran(taken=taken, began=began, ended=ended, answer=answer)

    async def run(self, tasks: Sequence[TakenTask]) -> list[Ran]:
        """Run tasks of one type that shares passes, whose labels are loaded, in one call of their handler.

        Raises nothing. A task whose deadline has passed is left out and fails alone. Tasks whose handler failed for all
        of them run again one by one, so that a bad one fails alone; not if the runtime is away or the worker stops.
        """
        began = time.monotonic()
        ready = [taken for taken in tasks if began < taken.deadline]
        ran = [_late(taken, began) for taken in tasks if began >= taken.deadline]
        if not ready:
            return ran
        kind, size = ready[0].kind, len(ready)
        assert kind is not None
        try:
            answers = await kind.run([self._context(taken) for taken in ready], [taken.parameters for taken in ready])
        except BaseException as exc:  # noqa: BLE001  # see above
            failure = exc
        else:
            ended = time.monotonic()
            if all(taken.use.hit for taken in ready):  # the first run after a load takes several times as long
                self._laws.observe(ready[0].task.label, size, ended - began)
            for taken, answer in zip(ready, answers, strict=True):
                error = answer if isinstance(answer, BaseException) else None
                ran.append(Ran(taken=taken, began=began, ended=ended, size=size, answer=answer, error=error))
            return ran
        if _concerns_all(failure):
            ended = time.monotonic()
            return ran + [Ran(taken=taken, began=began, ended=ended, size=size, error=failure) for taken in ready]
        logger.bind(task_type=kind.name, label=ready[0].task.label, tasks=size, reason=text_of(failure)).warning(
            "pass failed, its tasks run one by one"
        )
        for taken in ready:
            if is_cancelled():
                ran.append(Ran(taken=taken, began=began, ended=began, error=asyncio.CancelledError()))
            else:
                ran.append(await self.run_alone(taken))
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


def is_cancelled() -> bool:
    """Return whether cancellation of the running task was requested; its code may also raise CancelledError itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def deadline_error(taken: TakenTask) -> DeadlineError:
    """Return the error of a task whose deadline has passed."""
    return DeadlineError(f"the deadline of {taken.task.task_id} passed before work on it began")


def _late(taken: TakenTask, now: float) -> Ran:
    return Ran(taken=taken, began=now, ended=now, error=deadline_error(taken))


def _concerns_all(error: BaseException) -> bool:
    """Return whether to run the tasks again is no help: the runtime is away, the handler wrong, the worker stops."""
    return isinstance(error, RuntimeUnavailableError | WrongAnswersError) or (
        isinstance(error, asyncio.CancelledError) and is_cancelled()
    )
