"""The worker on the bus: takes tasks, has their labels loaded, runs them, answers."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import msgspec
from loguru import logger

from bus.codec import append_state, decode_progress, decode_task, encode_result, encode_state
from bus.connection import Bus, Msg
from bus.errors import BadNameError, LabelbusError, MalformedError, reason
from bus.log_throttle import ThrottledLogger
from bus.messages import Result, Status
from bus.names import normalise_label
from bus.owned import end
from bus.registration import Registration
from bus.subjects import reply_address
from bus.version import labelbus_version
from worker.admission import Admission
from worker.cache import LabelCache
from worker.completed import Completed
from worker.group import GroupMembership
from worker.holder import LabelHolder
from worker.in_flight import TasksInFlight
from worker.loop_watch import LoopWatch
from worker.pass_laws import PassLaws
from worker.pass_runner import PassRunner
from worker.passes import Gathering
from worker.report import IDLE_INTERVAL_S, STATE_INTERVAL_S, StateReporter, WorkerFacts
from worker.results import Results
from worker.runner import TaskRunner
from worker.runtimes.protocol import Runtime
from worker.settings import WorkerSettings
from worker.start import start_runtime
from worker.taken import Answered, TakenTask
from worker.tasks import Limits, TaskType
from worker.tokens import Tokens

RESULT_OVERHEAD_BYTES: Final = 16 * 1024
"""Room in a message for everything in a Result but its output: a state with some hundred labels."""


class WorkerService:
    """One worker. `run()` serves until `stopping` is set, then drains and leaves."""

    def __init__(
        self,
        bus: Bus,
        settings: WorkerSettings,
        worker_id: str,
        runtime: Runtime,
        task_types: dict[str, TaskType],
        *,
        log_completed: Callable[[Completed], None],
    ) -> None:
        self._bus = bus
        self._worker_id = worker_id
        self._drain_s = settings.drain_s
        self._runtime = runtime
        self._tasks = asyncio.TaskGroup()
        self._log = ThrottledLogger()
        tokens = Tokens(settings.model_repository, held=settings.capacity + 1, max_tokens=settings.pass_tokens)
        cache = LabelCache(settings.capacity)
        self._task_types = task_types
        self._laws = PassLaws(settings.pass_tasks)
        self._admission = Admission(slots=settings.slots, window=settings.window)
        self._gathering: Gathering[TakenTask] = Gathering(slots=settings.slots, laws=self._laws)
        self._in_flight = TasksInFlight()
        self._group = GroupMembership(bus, self._admission, self._on_task)
        facts = WorkerFacts(
            worker_id=worker_id,
            runtime=runtime.name,
            kind=settings.kind or runtime.name,
            task_types=tuple(sorted(task_types)),
            pass_types=tuple(sorted(name for name, kind in task_types.items() if kind.passes)),
            pass_tasks=settings.pass_tasks,
            version=labelbus_version(),
        )
        self._reporter = StateReporter(bus, facts, self._admission, cache)
        self._registration = Registration(bus, worker_id, self._reporter.entry, heartbeat_s=settings.heartbeat_s)
        self._holder = LabelHolder(
            cache, runtime, self._tasks, on_load=tokens.forget, on_change=self._on_labels_changed
        )
        limits = Limits(max_texts=settings.max_texts, max_text_chars=settings.max_text_chars)
        self._runner = TaskRunner(
            task_types,
            self._gathering,
            self._holder,
            self._in_flight,
            PassRunner(runtime, tokens, limits, self._laws),
            Results(worker_id, max_output_bytes=self._max_output_bytes, log_completed=log_completed),
            self._answer_all,
        )
        runtime.on_labels_lost(self._holder.lost)
        self._has_left = False
        self.malformed = 0

    async def run(self, stopping: asyncio.Event, ready: asyncio.Event) -> None:
        """Serve until `stopping`; tasks that are running then have `drain_s` to finish. Sets `ready` when registered.

        Raises `RuntimeUnavailableError` if the runtime does not start.
        """
        try:
            if not await start_runtime(self._runtime, stopping):
                return
            async with self._tasks:
                await self._serve_until(stopping, ready)
        finally:
            await self._runner.cancel()  # those that are left if anything here failed
            self._log.flush()
            await self._runtime.stop()

    async def _serve_until(self, stopping: asyncio.Event, ready: asyncio.Event) -> None:
        bus, subjects = self._bus, self._bus.subjects
        # Subscribed before it is registered: a dispatcher that sees the entry may send at once.
        direct = await bus.subscribe(subjects.task(self._worker_id), self._on_task)
        pings = [
            await bus.subscribe(subjects.ping(self._worker_id), self._on_ping),
            await bus.subscribe(subjects.ping_any, self._on_ping),
        ]
        conversions = await bus.subscribe(subjects.convert_event("*"), self._on_conversion)
        await bus.settle()
        background = [
            self._tasks.create_task(self._group.run(), name="queue group"),
            self._tasks.create_task(self._reporter.run(), name="state reports"),
            self._tasks.create_task(self._registration.run(), name="registration"),
            self._tasks.create_task(LoopWatch().run(), name="loop watch"),
        ]
        registered = self._tasks.create_task(self._registration.registered(), name="registered")
        registered.add_done_callback(lambda done: None if done.cancelled() else ready.set())
        await stopping.wait()
        registered.cancel()
        await bus.leave(conversions)
        await self._drain()
        await end(*background)
        self._has_left = True  # from here on its state would bring the worker back at the dispatchers
        for subscription in pings:
            await bus.leave(subscription)
        await self._registration.remove()
        await bus.leave(direct)

    async def _drain(self) -> None:
        """Take nothing more and let tasks finish; those that do not finish in time are cancelled, and answer that."""
        self._admission.drain()
        self._on_labels_changed()
        await self._group.leave()
        await self._reporter.publish()
        logger.bind(running=len(self._in_flight)).info("draining")
        try:
            async with asyncio.timeout(self._drain_s):
                await self._in_flight.idle()
        except TimeoutError:
            logger.bind(running=len(self._in_flight)).error("drain time is over; unfinished tasks are cancelled")
            self._holder.close()
            await self._runner.cancel()

    def _on_labels_changed(self) -> None:
        self._reporter.changed(IDLE_INTERVAL_S)
        self._registration.changed()

    async def _on_conversion(self, msg: Msg) -> None:
        """Have a label that was converted again loaded again."""
        try:
            progress = decode_progress(msg.data)
            if progress.stage == "done":
                self._holder.refresh(normalise_label(progress.model_name))
        except (MalformedError, BadNameError) as exc:
            self._ignore(msg, exc)

    async def _on_ping(self, msg: Msg) -> None:
        outstanding = self._in_flight.outstanding_for(reply_address(msg.reply).sender)
        await self._answer(
            msg.reply, encode_state(msgspec.structs.replace(self._reporter.state(), outstanding=outstanding))
        )

    async def _on_task(self, msg: Msg) -> None:
        try:
            task = decode_task(msg.data)
        except MalformedError as exc:
            self._ignore(msg, exc)
            return
        kind = self._task_types.get(task.task_type)
        # A task that was tried before runs alone, for it may have killed its worker.
        shares = kind is not None and kind.passes and task.attempt == 1 and self._laws.pass_tasks > 1
        label = task.label if shares else None
        per_place = self._laws.tasks_per_place(task.label) if shares else 1
        admission = self._admission
        if not admission.has_room(label, per_place):
            busy = Result(task_id=task.task_id, worker_id=self._worker_id, status=Status.BUSY, attempt=task.attempt)
            await self._answer(msg.reply, self._payload(busy, self._encoded_state()))
            return
        admission.take(label, per_place)
        if admission.is_full:
            self._group.update()
        self._reporter.changed(STATE_INTERVAL_S)
        taken = TakenTask(
            task=task,
            reply_to=msg.reply,
            reply=reply_address(msg.reply),
            arrived=time.monotonic(),
            shares=shares,
            kind=kind,
        )
        self._in_flight.begin(taken)
        self._runner.begin(taken)

    async def _answer_all(self, answered: list[Answered]) -> None:
        """Answer tasks that have ended. Their places are free before the answers are sent, which tell so."""
        was_full = self._admission.is_full
        for each in answered:
            if each.taken.shares:
                label = each.taken.task.label
                self._admission.answered(label, self._laws.tasks_per_place(label))
            else:
                self._admission.answered()
        if was_full:
            self._group.update()
        # With a window the slots may still be taken, and yet another task be welcome: tell it at once in any case.
        self._reporter.changed(IDLE_INTERVAL_S if was_full else STATE_INTERVAL_S)
        state = self._encoded_state()
        for each in answered:
            try:
                await self._answer(each.taken.reply_to, self._payload(each.result, state))
            finally:
                self._in_flight.end(each.taken)  # not before: a task neither outstanding nor answered counts as lost

    def _max_output_bytes(self) -> int:
        return self._bus.max_payload_bytes - RESULT_OVERHEAD_BYTES

    def _encoded_state(self) -> bytes:
        """Return the worker's state as of now, empty once the worker has left."""
        return b"" if self._has_left else encode_state(self._reporter.state())

    def _payload(self, result: Result, state: bytes) -> bytes:
        """Return the result with the worker's state, unless that makes it too long, with hundreds of labels."""
        payload = encode_result(result)
        if not state or len(payload) + len(state) + 8 > self._bus.max_payload_bytes:
            return payload
        return append_state(payload, state)

    def _ignore(self, msg: Msg, exc: LabelbusError) -> None:
        self.malformed += 1
        self._log.warning("message ignored", subject=msg.subject, reason=reason(exc), malformed=self.malformed)

    async def _answer(self, subject: str, payload: bytes) -> None:
        if not subject:
            self._log.warning("message without a reply subject not answered", subject=subject)
            return
        try:
            await self._bus.publish(subject, payload)
        except LabelbusError as exc:
            logger.bind(subject=subject, bytes=len(payload), reason=reason(exc)).error("answer not sent")
