"""The way of a task through the worker: its label is loaded, it gets a slot, it runs, a `Result` says how it ended."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from loguru import logger

from bus.clock import UnixClock
from bus.errors import RuntimeUnavailableError, UnknownTaskTypeError
from worker.clock import SenderClocks
from worker.holder import LabelHolder
from worker.in_flight import TasksInFlight
from worker.pass_runner import PassRunner, Ran, deadline_error
from worker.passes import Gathering
from worker.results import Results
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
        task_types: dict[str, TaskType],
        gathering: Gathering[TakenTask],
        holder: LabelHolder,
        in_flight: TasksInFlight,
        passes: PassRunner,
        results: Results,
        answer: Answer,
    ) -> None:
        self._task_types = task_types
        self._gathering = gathering
        self._holder = holder
        self._in_flight = in_flight
        self._passes = passes
        self._results = results
        self._answer = answer
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
        self._in_flight.served()
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
        goes_on = self._go_on()
        taken.use.release()
        try:
            if goes_on:
                await self._turn()
            await self._answer([Answered(taken=taken, result=self._results.of(ran))])
        finally:
            self._in_flight.served()

    async def _run_pass(self, tasks: tuple[TakenTask, ...]) -> None:
        """Run a pass in its slot, hand the slot on, and answer."""
        ran = await self._passes.run(tasks)
        self._go_on()
        for taken in tasks:
            taken.use.release()
        try:
            await self._turn()
            await self._answer_pass(ran)
        finally:
            self._in_flight.served()

    async def _answer_pass(self, ran: list[Ran]) -> None:
        answered: list[Answered] = []
        encoded = 0
        for each in ran:
            result = self._results.of(each)
            answered.append(Answered(taken=each.taken, result=result))
            encoded += len(result.output)
            if encoded > ANSWER_BYTES or len(answered) == ANSWER_TASKS:
                await self._answer(answered)
                await self._turn()
                answered, encoded = [], 0
        if answered:
            await self._answer(answered)

    def _go_on(self) -> bool:
        """Free a slot, or run what waits for it; return whether something did."""
        following = self._gathering.finish()
        if not following:
            return False
        first = following[0]
        run = self._run_alone(first) if len(following) == 1 else self._run_pass(following)
        self._in_flight.serve(run, name=first.task.task_id)
        return True

    async def _turn(self) -> None:
        """Let the next run be sent before the answers of this one are encoded; a cancelled task answers nevertheless.

        The handler calls the runtime in the first turn of the event loop, and gRPC sends in the second. While this
        worker encodes and answers, the model runs.
        """
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def _fail(self, taken: TakenTask, exc: BaseException) -> None:
        """Answer a task that did not come to run."""
        taken.use.release()
        try:
            await self._answer([Answered(taken=taken, result=self._results.failed(taken, exc))])
        finally:
            self._in_flight.served()

    def _deadline(self, taken: TakenTask) -> float:
        """Return the task's deadline in monotonic seconds; infinity if it has none."""
        task = taken.task
        now_ms = self._clock.now_ms()
        deadline_ms = self._clocks.deadline_here(
            taken.reply.sender, deadline_ms=task.deadline_ms, sent_ms=task.sent_ms, now_ms=now_ms
        )
        return time.monotonic() + (deadline_ms - now_ms) / 1000 if task.deadline_ms else math.inf
