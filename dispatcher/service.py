"""The dispatcher on the bus: tells the router what happens, and has its commands executed."""

import asyncio
import random
from typing import TYPE_CHECKING, Final

from loguru import logger

from bus.clock import UnixClock
from bus.connection import Bus
from bus.errors import WorkerError
from bus.messages import Result, Status, WorkerEntry
from bus.owned import end
from bus.registry import RegistryWatch
from dispatcher.answers import RETRYABLE_CODES, TaskAnswer, TaskRequest
from dispatcher.broken import BrokenWorkers
from dispatcher.commands import CommandExecutor, Commands
from dispatcher.completion import Completion
from dispatcher.counters import Counters, RouteDurations
from dispatcher.in_flight import InFlightRequest, InFlightRequests
from dispatcher.inbox import (
    EchoReceived,
    Inbox,
    PingAnswered,
    PingUndelivered,
    Received,
    ResultReceived,
    ResultUnreadable,
    StateReceived,
    TaskUndelivered,
)
from dispatcher.liveness import AssignmentLost, Prober
from dispatcher.reply_subjects import ReplySubjects
from dispatcher.router import Limits, Outcome, Router, RouterPolicy, TaskSpec
from dispatcher.settings import DispatcherSettings
from dispatcher.views import view_of_entry, view_of_state

if TYPE_CHECKING:
    from loguru import Logger


class DispatcherService:
    """Runs tasks on the pool. `run_task` needs `run()`, an owned task, beside it."""

    def __init__(self, bus: Bus, settings: DispatcherSettings, dispatcher_id: str) -> None:
        self._bus = bus
        self._loop = asyncio.get_running_loop()
        self._tasks: Final = asyncio.TaskGroup()
        clock = UnixClock()
        policy = RouterPolicy(
            mode=settings.policy,
            limits=Limits(max_waiting=settings.max_waiting, max_waiting_per_label=settings.max_waiting_per_label),
        )
        self.router: Final[Router[InFlightRequest]] = Router(policy, rng=random.Random(), now=self._loop.time())
        self._broken = BrokenWorkers(self.router)
        self.in_flight: Final = InFlightRequests(bus, settings, on_deadline=self._expire)
        self.counters: Final = Counters()
        self.durations: Final = RouteDurations()
        self.replies: Final = ReplySubjects(bus.subjects, dispatcher_id, incarnation=f"{clock.now_ms():x}")
        self.watch: Final = RegistryWatch(
            bus, on_entry=self._entry_written, on_gone=self._worker_gone, on_reach=self._registry_reached
        )
        self._inbox = Inbox(bus, self.replies, self.counters, receive=self._receive)
        self._prober = Prober(
            bus, self.replies, on_worker_gone=self._worker_dead, on_lost=self._assignment_lost, known=self._known
        )
        logs_answers = settings.log_level in ("TRACE", "DEBUG")
        self._completion = Completion(self.counters, self.durations, logs_answers=logs_answers)
        self._executor = CommandExecutor(
            bus, self.router, self.replies, self._prober, self._completion, clock, self._tasks
        )

    async def run(self, stopping: asyncio.Event, started: asyncio.Event) -> None:
        """Serve until `stopping`; set `started` once the inbox listens."""
        async with self._tasks:
            async with self._inbox.listening():
                background = [
                    self._tasks.create_task(self.watch.run(), name="registry watch"),
                    self._tasks.create_task(self._prober.run(), name="prober"),
                ]
                started.set()
                await stopping.wait()
                await end(*background)
            self._executor.close()

    @property
    def registry_synced(self) -> bool:
        """True once the registry has been read for the first time."""
        return self.watch.is_synced

    async def run_task(self, request: TaskRequest) -> TaskAnswer:
        """Run one task on the pool and return its answer, which holds whatever a worker or the router says.

        Raises what `InFlightRequests.begin` raises. If it is cancelled, by `cancel` or otherwise, the task is dropped
        where it waits, and its result where it runs.
        """
        in_flight = self.in_flight.begin(request)
        self.counters.submitted += 1
        try:
            spec = TaskSpec(
                task_id=request.task_id,
                task_type=request.task_type,
                label=request.label,
                deadline=in_flight.deadline,
                retry=request.retry,
                item=in_flight,
            )
            await self._executor.execute(self.router.submit(in_flight.began, spec))
            return await in_flight.future
        finally:
            self.in_flight.end(in_flight)
            if in_flight.future.cancelled() or not in_flight.future.done():
                self.counters.cancelled += 1
                await self._executor.execute(self.router.cancel(self._loop.time(), request.task_id))

    def cancel(self, task_id: str) -> None:
        """Make `run_task` raise `CancelledError` for this task, if it is in flight."""
        self.in_flight.cancel(task_id)

    # Messages ---------------------------------------------------------------------------------------------------

    async def _receive(self, received: Received) -> None:
        commands = self._handle(received)
        if commands:
            await self._executor.execute(commands)
        else:
            self._executor.schedule_tick()

    def _handle(self, received: Received) -> Commands:
        now = self._loop.time()
        match received:
            case ResultReceived():  # one a task: attributes cost half as much as patterns that take it apart
                self._prober.settle(received.assignment_id)
                self._prober.mark_alive(now, received.result.worker_id)
                if received.result.status is Status.BUSY:
                    return self._task_bounced(now, received.assignment_id, received.result)
                return self._task_finished(now, received.assignment_id, received.result)
            case StateReceived(state):
                self._prober.mark_alive(now, state.worker_id)
                return self.router.worker_seen(now, view_of_state(state))
            case TaskUndelivered(assignment_id):
                self._prober.settle(assignment_id)
                return self._task_undelivered(now, assignment_id)
            case ResultUnreadable(assignment_id, why):
                self._prober.settle(assignment_id)
                return self._result_unreadable(now, assignment_id, why)
            case PingAnswered(pinged_at, state, assignment_ids):
                self._prober.ping_answered(now, state.worker_id, pinged_at, assignment_ids)
                return self.router.worker_seen(now, view_of_state(state))
            case PingUndelivered(worker_id):
                self._prober.ping_undelivered(worker_id)
                return []
            case EchoReceived():
                self._prober.echo_received(now)
                return []

    def _task_finished(self, now: float, assignment_id: int, result: Result) -> Commands:
        outcome = Outcome(
            ok=result.status is Status.OK,
            label_hit=result.label_hit,
            load_ms=result.load_ms,
            run_ms=result.run_ms,
            pass_size=result.pass_size,
            evicted_label=result.evicted_label,
            retryable=result.error_code in RETRYABLE_CODES,
            view=None if result.state is None else view_of_state(result.state),
            worker_id=result.worker_id,
        )
        finished = self.router.finished(now, assignment_id, outcome)
        if result.worker_id in self._broken.worker_ids:
            self._broken.update()
        if finished.assignment is None:
            self.counters.late += 1
            _log_of(result).info("late result dropped")
        elif finished.requeued:
            self.counters.retried += 1
            _log_of(result).bind(code=result.error_code, reason=result.error_message).warning("task tried again")
        elif finished.answer:
            self._completion.answer(now, finished.assignment, result)
        return finished.commands

    def _task_bounced(self, now: float, assignment_id: int, result: Result) -> Commands:
        self.counters.bounced += 1
        state = result.state
        view = None if state is None else view_of_state(state)
        commands = self.router.bounced(now, assignment_id, no_responders=False, view=view)
        if view is None or not view.is_full:
            self._broken.update()
        return commands

    def _task_undelivered(self, now: float, assignment_id: int) -> Commands:
        self.counters.bounced += 1
        # Just after NATS was away the worker may only need a moment longer than this dispatcher.
        no_responders = not self._bus.unsettled
        return self.router.bounced(now, assignment_id, no_responders=no_responders)

    def _result_unreadable(self, now: float, assignment_id: int, why: str) -> Commands:
        """Have the task tried again, if it may be; at last it fails."""
        unread = Outcome(ok=False, label_hit=False, load_ms=0.0, run_ms=0.0, retryable=True)
        finished = self.router.finished(now, assignment_id, unread)
        assign = finished.assignment
        if finished.requeued:
            self.counters.retried += 1
        elif assign is not None and finished.answer:
            result = Result(
                task_id=assign.task.task_id,
                worker_id=assign.worker_id or "",
                status=Status.FAILED,
                error_code=WorkerError.code,
                error_message=f"the worker's answer cannot be read ({why}): is it of another version?",
            )
            self._completion.answer(now, assign, result)
        return finished.commands

    # Events of the registry, of liveness and of time -------------------------------------------------------------

    def _entry_written(self, entry: WorkerEntry) -> None:
        now = self._loop.time()
        self._prober.record_heartbeat(now, entry.worker_id, entry.heartbeat_s)
        self._executor.execute_soon(self.router.worker_seen(now, view_of_entry(entry)))

    def _worker_dead(self, worker_id: str) -> None:
        self.watch.disown(worker_id)
        self._worker_gone(worker_id)

    def _worker_gone(self, worker_id: str) -> None:
        logger.bind(worker=worker_id).warning("worker gone")
        self._broken.remove(worker_id)
        self._executor.execute_soon(self.router.worker_gone(self._loop.time(), worker_id))
        self._prober.remove_worker(worker_id)  # after the router: what is lost now must not be sent there again

    def _assignment_lost(self, lost: AssignmentLost) -> None:
        logger.bind(worker=lost.worker_id).warning("task lost on the way")
        self.counters.lost += 1
        self._executor.execute_soon(self.router.lost(self._loop.time(), lost.assignment_id, lost.worker_id))

    def _registry_reached(self, in_reach: bool) -> None:
        now = self._loop.time()
        self._executor.execute_soon(self.router.registry_found(now) if in_reach else self.router.registry_lost(now))

    def _expire(self, in_flight: InFlightRequest) -> None:
        if not in_flight.is_over:
            now = self._loop.time()
            self._executor.execute_soon(self.router.cancel(now, in_flight.request.task_id))
            self._completion.expire(now, in_flight)

    def _known(self) -> list[str]:
        return [view.worker_id for view in self.router.workers()]


def _log_of(result: Result) -> "Logger":
    return logger.bind(task_id=result.task_id, worker=result.worker_id, attempt=result.attempt)
