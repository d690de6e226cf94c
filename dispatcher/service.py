"""The dispatcher on the bus: drives the router with what it hears, and does what the router says."""

import asyncio
import random
from typing import TYPE_CHECKING, Final

import nats.errors
from loguru import logger

from bus.clock import UnixClock
from bus.codec import encode_task
from bus.connection import Bus
from bus.errors import DeadlineError, MalformedError, UnavailableError, WorkerError, reason
from bus.messages import Result, Status, Task, WorkerEntry
from bus.owned import end
from bus.registry import RegistryWatch
from dispatcher.answers import RETRYABLE_CODES, TaskAnswer, TaskRequest, error_of, error_of_reject
from dispatcher.counts import Counts
from dispatcher.debts import Lost
from dispatcher.durations import Durations
from dispatcher.flights import Flight, Flights
from dispatcher.inbox import Inbox
from dispatcher.probes import Probes
from dispatcher.router import Assign, Command, Outcome, Reason, Reject, Router, RouterPolicy, TaskSpec, WorkerView
from dispatcher.settings import DispatcherSettings
from dispatcher.views import view_of_entry

if TYPE_CHECKING:
    from loguru import Logger


class DispatcherService:
    """Runs tasks on the pool. `run()` must be running for `run_task` to get anywhere."""

    def __init__(self, bus: Bus, settings: DispatcherSettings, dispatcher_id: str) -> None:
        self._bus = bus
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        policy = RouterPolicy(
            mode=settings.policy,
            max_waiting=settings.max_waiting,
            max_waiting_per_label=settings.max_waiting_per_label,
        )
        self.router: Final[Router[Flight]] = Router(policy, rng=random.Random(), now=self._loop.time())
        self._clock = UnixClock()
        self.flights: Final = Flights(bus, settings, on_due=self._expire)
        self._logs_answers = settings.log_level in ("TRACE", "DEBUG")
        self.counts: Final = Counts()
        self.durations: Final = Durations()
        self._inbox = Inbox(bus, dispatcher_id, f"{self._clock.now_ms():x}", self, self.counts)
        self._watch = RegistryWatch(bus, on_entry=self._entry, on_gone=self._gone, on_reach=self._reach)
        self._probes = Probes(
            bus,
            reply_to=lambda token: bus.subjects.reply(dispatcher_id, token),
            number_of=self._inbox.number_of,
            on_gone=self._gone,
            on_lost=self._lost,
            known=lambda: [view.worker_id for view in self.router.workers()],
        )
        self._tasks: asyncio.TaskGroup
        self._wake: asyncio.TimerHandle | None = None
        self._wake_at = 0.0

    async def run(self, stopping: asyncio.Event, started: asyncio.Event) -> None:
        """Listen until `stopping`; `started` is set once the registry has been read or proved out of reach."""
        async with asyncio.TaskGroup() as self._tasks:
            await self._inbox.open(self._probes)
            background = [
                self._tasks.create_task(self._watch.run(), name="registry watch"),
                self._tasks.create_task(self._probes.run(), name="probes"),
            ]
            started.set()
            await stopping.wait()
            await end(*background)
            await self._inbox.close()
            if self._wake is not None:
                self._wake.cancel()

    @property
    def registry_synced(self) -> bool:
        """True once the registry has been read for the first time."""
        return self._watch.is_synced

    @property
    def held_bytes(self) -> int:
        """Size of the parameters of all tasks under way."""
        return self.flights.held_bytes

    async def registry_read(self) -> None:
        """Returns once the registry has been read for the first time."""
        await self._watch.synced()

    async def run_task(self, request: TaskRequest) -> TaskAnswer:
        """Run one task on the pool and wait for what becomes of it.

        Whatever a worker or the router says is in the answer; raised is only what `Flights.begin` raises. Cancel it
        and the task is given up where it is, with `give_up` or otherwise.
        """
        flight = self.flights.begin(request)
        self.counts.submitted += 1
        try:
            spec = TaskSpec(
                task_id=request.task_id,
                task_type=request.task_type,
                label=request.label,
                deadline=flight.deadline,
                retry=request.retry,
                item=flight,
            )
            await self._do(self.router.submit(flight.began, spec))
            return await flight.future
        finally:
            self.flights.end(flight)
            if flight.future.cancelled() or not flight.future.done():
                self.counts.cancelled += 1
                await self._do(self.router.cancel(self._loop.time(), request.task_id))

    def give_up(self, task_id: str) -> None:
        """Nobody wants the answer any more: `run_task` raises `CancelledError`."""
        self.flights.give_up(task_id)

    # What the router is told ------------------------------------------------------------------------------------

    async def heard_of(self, view: WorkerView) -> None:
        """A worker said how it is."""
        await self._do(self.router.worker_seen(self._loop.time(), view))

    async def bounced(self, number: int, view: WorkerView | None, *, no_responders: bool) -> None:
        """A worker was busy, or nobody listened."""
        await self._do(self.router.bounced(self._loop.time(), number, no_responders=no_responders, view=view))

    async def answered(self, number: int, result: Result, view: WorkerView | None) -> None:
        """A worker ran a task, or failed at it."""
        finished = self.router.finished(
            self._loop.time(),
            number,
            Outcome(
                ok=result.status is Status.OK,
                label_hit=result.label_hit,
                load_ms=result.load_ms,
                run_ms=result.run_ms,
                evicted_label=result.evicted_label,
                retryable=result.error_code in RETRYABLE_CODES,
                view=view,
                worker_id=result.worker_id,
            ),
        )
        if finished.assignment is None:
            self.counts.late += 1
            _log_of(result).info("late result dropped")
        elif finished.requeued:
            self.counts.retried += 1
            _log_of(result).bind(code=result.error_code, reason=result.error_message).warning("task tried again")
        elif finished.answer:
            self._answer(finished.assignment, result)
        if finished.commands:
            await self._do(finished.commands)
        else:
            self._set_wake()

    async def unreadable(self, number: int, exc: MalformedError) -> None:
        """A worker answered, and nobody can read what: the task is tried again, if it may be, and fails in the end."""
        unread = Outcome(ok=False, label_hit=False, load_ms=0.0, run_ms=0.0, retryable=True)
        finished = self.router.finished(self._loop.time(), number, unread)
        assign = finished.assignment
        if finished.requeued:
            self.counts.retried += 1
        elif assign is not None and finished.answer:
            result = Result(
                task_id=assign.task.task_id,
                worker_id=assign.worker_id or "",
                status=Status.FAILED,
                error_code=WorkerError.code,
                error_message=f"the worker's answer cannot be read ({reason(exc)}): is it of another version?",
            )
            self._answer(assign, result)
        await self._do(finished.commands)

    def _entry(self, entry: WorkerEntry) -> None:
        self._do_soon(self.router.worker_seen(self._loop.time(), view_of_entry(entry)))

    def _gone(self, worker_id: str) -> None:
        logger.bind(worker=worker_id).warning("worker gone")
        self._do_soon(self.router.worker_gone(self._loop.time(), worker_id))
        self._probes.forget_worker(worker_id)  # after it: what is lost now must not be sent there again

    def _lost(self, lost: Lost) -> None:
        logger.bind(worker=lost.worker_id).warning("task lost on the way")
        self.counts.lost += 1
        self._do_soon(self.router.lost(self._loop.time(), lost.token, lost.worker_id))

    def _reach(self, in_reach: bool) -> None:
        now = self._loop.time()
        self._do_soon(self.router.registry_found(now) if in_reach else self.router.registry_lost(now))

    # What the router says ---------------------------------------------------------------------------------------

    def _do_soon(self, commands: list[Command[Flight]]) -> None:
        if commands:
            self._tasks.create_task(self._do(commands), name="router commands")
        else:
            self._set_wake()

    async def _do(self, commands: list[Command[Flight]]) -> None:
        for done, command in enumerate(commands, start=1):
            match command:
                case Assign():
                    try:
                        await self._send(command)
                    except asyncio.CancelledError:  # a request went away while others' tasks were being sent
                        self._do_soon(commands[done:])
                        raise
                case Reject():
                    self._reject(command)
        self._set_wake()

    async def _send(self, assign: Assign[Flight]) -> None:
        flight = assign.task.item
        flight.last = assign
        request = flight.request
        sent_ms = self._clock.now_ms()
        assert assign.task.deadline is not None
        task = Task(
            task_id=request.task_id,
            task_type=request.task_type,
            label=request.label,
            parameters=request.parameters,
            deadline_ms=sent_ms + int((assign.task.deadline - self._loop.time()) * 1000),
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
        self._probes.sent(assign.assignment_id, assign.worker_id)
        reply = self._inbox.reply_to(assign.assignment_id)
        try:
            await self._bus.nc.publish(subject, encode_task(task), reply=reply, headers=headers)
        except nats.errors.Error as exc:
            self._probes.settled(assign.assignment_id)
            self.counts.rejected += not flight.future.done()
            flight.fail(self._loop.time(), UnavailableError(f"NATS does not take the task ({reason(exc)}): try again"))
            # Nobody will answer it: without an outcome its slot would be taken for good. Not awaited, since what
            # follows may be the same for each task that waits.
            unsent = Outcome(ok=False, label_hit=False, load_ms=0.0, run_ms=0.0)
            self._do_soon(self.router.finished(self._loop.time(), assign.assignment_id, unsent).commands)

    def _reject(self, reject: Reject[Flight]) -> None:
        flight = reject.task.item
        if flight.future.done():  # its deadline passed here, or its client went away, in this very turn of the loop
            return
        if reject.reason is Reason.DEADLINE:
            self.counts.expired += 1
        else:
            self.counts.rejected += 1
        error = error_of_reject(reject)
        logger.bind(
            task_id=reject.task.task_id, label=reject.task.label, code=error.code, workers=list(reject.worker_ids)
        ).warning("task refused")
        flight.fail(self._loop.time(), error, worker_id=",".join(reject.worker_ids))

    def _expire(self, flight: Flight) -> None:
        if flight.future.done():  # answered or refused in this very turn of the loop
            return
        self.counts.expired += 1
        task_id = flight.request.task_id
        where = f"at worker {flight.last.worker_id or 'of the queue group'}" if flight.last else "waiting for a worker"
        logger.bind(task_id=task_id, label=flight.request.label, where=where).warning("deadline passed")
        self._do_soon(self.router.cancel(self._loop.time(), task_id))
        flight.fail(
            self._loop.time(),
            DeadlineError(f"no answer before the deadline; the task was {where}. Give it more time, or add workers"),
            worker_id=(flight.last.worker_id or "") if flight.last else "",
        )

    def _answer(self, assign: Assign[Flight], result: Result) -> None:
        flight = assign.task.item
        if flight.future.done():  # its client went away in this very turn of the loop
            return
        ok = result.status is Status.OK
        answer = TaskAnswer(
            task_id=result.task_id,
            output=result.output,
            error=None if ok else error_of(result.error_code, result.error_message),
            worker_id=result.worker_id,
            route=assign.route.value,
            queue_ms=assign.waited_ms + result.queue_ms,
            load_ms=result.load_ms,
            run_ms=result.run_ms,
            expected_ms=assign.expected_ms,
            evicted_label=result.evicted_label,
            attempt=assign.attempt,
        )
        if ok:
            self.counts.answered += 1
        elif result.error_code == DeadlineError.code:
            self.counts.expired += 1
        else:
            self.counts.failed += 1
        self.durations.observe(answer.route, self._loop.time() - flight.began)
        if self._logs_answers:
            self._log_answer(assign, answer)
        flight.answer(answer)

    def _log_answer(self, assign: Assign[Flight], answer: TaskAnswer) -> None:
        logger.bind(
            task_id=answer.task_id,
            label=assign.task.label,
            worker=answer.worker_id,
            route=answer.route,
            code="ok" if answer.error is None else answer.error.code,
            queue_ms=answer.queue_ms,
            load_ms=answer.load_ms,
            run_ms=answer.run_ms,
            expected_ms=answer.expected_ms,
        ).debug("task answered")

    def _set_wake(self) -> None:
        due = self.router.next_wake()
        if self._wake is not None:
            if due == self._wake_at:
                return
            self._wake.cancel()
            self._wake = None
        if due is not None:
            self._wake_at = due  # uvloop's handle of a timer that is due within a millisecond does not tell when
            self._wake = self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._wake = None
        self._do_soon(self.router.tick(self._loop.time()))


def _log_of(result: Result) -> "Logger":
    return logger.bind(task_id=result.task_id, worker=result.worker_id, attempt=result.attempt)
