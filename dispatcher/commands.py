"""Execution of the router's commands: tasks are published, requests refused, and the router is woken when it is due."""

import asyncio

from bus.clock import UnixClock
from bus.codec import encode_task
from bus.connection import Bus
from bus.errors import LabelbusError
from bus.messages import Task
from dispatcher.completion import Completion
from dispatcher.in_flight import InFlightRequest
from dispatcher.liveness import Prober
from dispatcher.reply_subjects import ReplySubjects
from dispatcher.router import Assign, Command, Outcome, Reject, Router

Commands = list[Command[InFlightRequest]]


class CommandExecutor:
    """Does what the router says. `tasks` owns what is done without being awaited."""

    def __init__(
        self,
        bus: Bus,
        router: Router[InFlightRequest],
        replies: ReplySubjects,
        prober: Prober,
        completion: Completion,
        clock: UnixClock,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._bus = bus
        self._router = router
        self._replies = replies
        self._prober = prober
        self._completion = completion
        self._clock = clock
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._wake: asyncio.TimerHandle | None = None
        self._wake_at = 0.0

    async def execute(self, commands: Commands) -> None:
        """Execute the commands of one event in order, then schedule the router's next tick."""
        for done, command in enumerate(commands, start=1):
            match command:
                case Assign():
                    try:
                        await self._send(command)
                    except asyncio.CancelledError:  # a request went away while others' tasks were being sent
                        self.execute_soon(commands[done:])
                        raise
                case Reject():
                    self._completion.reject(self._loop.time(), command)
        self.schedule_tick()

    def execute_soon(self, commands: Commands) -> None:
        """Execute the commands without being awaited."""
        if commands:
            self._tasks.create_task(self.execute(commands), name="router commands")
        else:
            self.schedule_tick()

    def schedule_tick(self) -> None:
        """Set the timer to when the router is due; call this after each event that had no commands."""
        due = self._router.next_wake()
        if self._wake is not None:
            if due == self._wake_at:
                return
            self._wake.cancel()
            self._wake = None
        if due is not None:
            self._wake_at = due  # uvloop's handle of a timer that is due within a millisecond does not tell when
            self._wake = self._loop.call_at(due, self._tick)

    def close(self) -> None:
        """Stop the timer."""
        if self._wake is not None:
            self._wake.cancel()

    async def _send(self, assign: Assign[InFlightRequest]) -> None:
        in_flight = assign.task.item
        in_flight.assignment = assign
        request = in_flight.request
        now = self._loop.time()
        sent_ms = self._clock.now_ms()
        task = Task(
            task_id=request.task_id,
            task_type=request.task_type,
            label=request.label,
            parameters=request.parameters,
            deadline_ms=sent_ms + int((in_flight.deadline - now) * 1000),
            attempt=assign.attempt,
            evict_label=assign.evict_label,
            sent_ms=sent_ms,
            route=assign.route.value,
            waited_ms=assign.waited_ms,
            expected_ms=assign.expected_ms,
        )
        subjects = self._bus.subjects
        subject = subjects.task_any if assign.worker_id is None else subjects.task(assign.worker_id)
        headers = {"traceparent": request.traceparent} if request.traceparent else None
        self._prober.add(now, assign.assignment_id, assign.worker_id)
        reply = self._replies.assignment(assign.assignment_id)
        try:
            await self._bus.publish(subject, encode_task(task), reply=reply, headers=headers)
        except LabelbusError as exc:
            self._prober.settle(assign.assignment_id)
            self._completion.fail_unsent(now, in_flight, exc)
            # No worker will answer the task: without an outcome its slot would be taken for good. Not awaited, since
            # the next task may be as little publishable as this one.
            unsent = Outcome(ok=False, label_hit=False, load_ms=0.0, run_ms=0.0)
            self.execute_soon(self._router.finished(self._loop.time(), assign.assignment_id, unsent).commands)

    def _tick(self) -> None:
        self._wake = None
        self.execute_soon(self._router.tick(self._loop.time()))
