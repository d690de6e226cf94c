"""The worker on the bus: takes tasks, has their labels held, runs them, answers."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
import nats.errors
from loguru import logger
from nats.aio.msg import Msg

from bus.clock import UnixClock
from bus.codec import decode_progress, decode_task, encode_result, encode_state
from bus.connection import Bus
from bus.errors import (
    BadNameError,
    DeadlineError,
    LabelbusError,
    MalformedError,
    RuntimeUnavailableError,
    TooLargeError,
    UnknownTaskTypeError,
    WorkerError,
    reason,
)
from bus.logs import log_event
from bus.messages import Result, Status, Task
from bus.names import normalise_label
from bus.owned import end
from bus.registry import Registration
from bus.version import labelbus_version
from worker.cache import LabelCache
from worker.clock import SenderClocks
from worker.holder import LabelHolder, Use
from worker.presence import Presence
from worker.runtimes.protocol import Runtime
from worker.settings import WorkerSettings
from worker.tasks import Limits, TaskContext, TaskType
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
        log_task: Callable[..., None] = log_event,
    ) -> None:
        self._bus = bus
        self._settings = settings
        self._worker_id = worker_id
        self._runtime = runtime
        self._task_types = task_types
        self._log_task = log_task
        self._limits = Limits(max_texts=settings.max_texts, max_text_chars=settings.max_text_chars)
        self._tokens = Tokens(settings.model_repository, held=settings.capacity + 1)
        self._cache = LabelCache(settings.capacity)
        self._slots = asyncio.Semaphore(settings.slots)
        self._clock = UnixClock()
        self._clocks = SenderClocks()
        self._serving: set[asyncio.Task[None]] = set()
        self._owed: set[str] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._presence = Presence(
            bus,
            worker_id,
            self._cache,
            slots=settings.slots,
            window=settings.window,
            runtime=runtime.name,
            task_types=tuple(sorted(task_types)),
            version=labelbus_version(),
            on_task=self._on_task,
            on_labels_changed=lambda: self._registration.changed(),
        )
        self._registration = Registration(bus, worker_id, self._presence.entry, heartbeat_s=settings.heartbeat_s)
        self._tasks: asyncio.TaskGroup
        self._holder: LabelHolder
        self._left = False
        self.malformed = 0

    async def run(self, stopping: asyncio.Event, ready: asyncio.Event) -> None:
        """Serve until `stopping`; tasks that are running then have `drain_s` to finish. Sets `ready` when registered.

        Raises `RuntimeUnavailableError` if the runtime does not start.
        """
        self._runtime.on_labels_lost(lambda labels: self._holder.lost(labels))
        try:
            if not await self._start_runtime(stopping):
                return
            async with asyncio.TaskGroup() as self._tasks:
                self._holder = LabelHolder(
                    self._cache,
                    self._runtime,
                    self._tasks,
                    on_load=self._tokens.forget,
                    on_change=self._presence.labels_changed,
                )
                subjects = self._bus.subjects  # heard before it is seen: who finds the key may send at once
                direct = await self._bus.nc.subscribe(subjects.task(self._worker_id), cb=self._on_task)
                pings = [
                    await self._bus.nc.subscribe(subject, cb=self._on_ping)
                    for subject in (subjects.ping(self._worker_id), subjects.ping_any)
                ]
                conversions = await self._bus.nc.subscribe(subjects.convert_event("*"), cb=self._on_conversion)
                await self._bus.settle()
                presence = self._tasks.create_task(self._presence.run(), name="presence")
                registration = self._tasks.create_task(self._registration.run(), name="registration")
                registered = self._tasks.create_task(self._registration.registered(), name="registered")
                registered.add_done_callback(lambda done: None if done.cancelled() else ready.set())
                await stopping.wait()
                registered.cancel()
                await self._bus.leave(conversions)
                await self._drain()
                await end(registration, presence)
                self._left = True  # what it said of itself after its key is gone would bring it back
                for subscription in pings:
                    await self._bus.leave(subscription)
                await self._registration.remove()
                await self._bus.leave(direct)
        finally:
            await self._runtime.stop()

    async def _start_runtime(self, stopping: asyncio.Event) -> bool:
        """False if it was told to stop first: a Triton that does not come up may take a minute to say so."""
        starting = asyncio.create_task(self._runtime.start(), name="runtime start")
        told = asyncio.create_task(stopping.wait(), name="told to stop")
        try:
            await asyncio.wait((starting, told), return_when=asyncio.FIRST_COMPLETED)
        finally:
            told.cancel()
            if not starting.done():
                starting.cancel()
                await asyncio.wait((starting,))
        if starting.cancelled():
            return False
        starting.result()
        return True

    async def _drain(self) -> None:
        """Take nothing more, and let what runs finish; what does not finish in time is answered all the same."""
        await self._presence.drain()
        logger.bind(running=len(self._serving)).info("draining")
        try:
            async with asyncio.timeout(self._settings.drain_s):
                await self._idle.wait()
        except TimeoutError:
            logger.bind(running=len(self._serving)).error("drain time is over; unfinished tasks are cancelled")
            for serving in self._serving:
                serving.cancel()
            self._holder.close()
            await asyncio.gather(*self._serving)

    async def _on_conversion(self, msg: Msg) -> None:
        """A model was converted anew: what is held of it is of yesterday."""
        try:
            progress = decode_progress(msg.data)
            if progress.stage == "done":
                self._holder.refresh(normalise_label(progress.model_name))
        except (MalformedError, BadNameError) as exc:
            self._ignore(msg, exc)

    async def _on_ping(self, msg: Msg) -> None:
        asker = _sender(msg.reply)
        owed = tuple(reply.rpartition(".")[2] for reply in self._owed if _sender(reply) == asker)
        await self._send(msg, encode_state(msgspec.structs.replace(self._presence.state(), owed=owed)))

    async def _on_task(self, msg: Msg) -> None:
        try:
            task = decode_task(msg.data)
        except MalformedError as exc:
            self._ignore(msg, exc)
            return
        if self._presence.draining or self._presence.occupied >= self._settings.slots + self._settings.window:
            await self._answer(msg, self._result(task, Status.BUSY))
            return
        self._presence.took()
        self._owed.add(msg.reply)
        self._idle.clear()
        serving = self._tasks.create_task(self._serve(task, msg, time.monotonic()), name=f"task {task.task_id}")
        self._serving.add(serving)
        serving.add_done_callback(self._served)

    def _ignore(self, msg: Msg, exc: LabelbusError) -> None:
        self.malformed += 1
        logger.bind(subject=msg.subject, reason=reason(exc), malformed=self.malformed).warning("message ignored")

    async def _serve(self, task: Task, msg: Msg, arrived: float) -> None:
        """Run one task and answer it, whatever happens."""
        try:
            result = await self._run(task, _sender(msg.reply), arrived)
        except LabelbusError as exc:
            result = self._failure(task, exc)
        except asyncio.CancelledError:
            result = self._failure(task, RuntimeUnavailableError("the worker had to stop before the task was done"))
        except (Exception, SystemExit) as exc:  # noqa: BLE001  # a task's own fault must never take the worker down
            logger.bind(task_id=task.task_id, label=task.label).exception("task failed unexpectedly")
            result = self._failure(task, WorkerError(f"{task.task_type} failed: {reason(exc)}"))
        self._presence.answered()
        await self._answer(msg, result)
        self._owed.discard(msg.reply)  # not before it is sent: what is neither owed nor answered counts as lost

    def _served(self, serving: asyncio.Task[None]) -> None:
        self._serving.discard(serving)
        if not self._serving:
            self._idle.set()

    async def _run(self, task: Task, sender: str, arrived: float) -> Result:
        deadline_ms = self._clocks.deadline_here(
            sender, deadline_ms=task.deadline_ms, sent_ms=task.sent_ms, now_ms=self._clock.now_ms()
        )
        task_type = self._task_types.get(task.task_type)
        if task_type is None:
            raise UnknownTaskTypeError(
                f"this worker has no handler for {task.task_type}; it has {', '.join(sorted(self._task_types))}"
            )
        parameters = task_type.decode(task.parameters)
        self._check_deadline(task, deadline_ms)
        async with self._holder.use(task.label, evict_hint=task.evict_label) as use:
            if not use.hit:
                logger.bind(task_id=task.task_id, label=task.label, load_ms=round(use.load_ms, 1)).info(
                    f"LABEL MISS: {task.label}"
                )
            async with self._slots:
                self._check_deadline(task, deadline_ms)
                began = time.monotonic()
                context = TaskContext(
                    task_id=task.task_id,
                    label=task.label,
                    runtime=self._runtime,
                    tokens=self._tokens,
                    limits=self._limits,
                    deadline=began + (deadline_ms - self._clock.now_ms()) / 1000 if task.deadline_ms else None,
                )
                output = await task_type.run(context, parameters)
                ended = time.monotonic()
        return self._success(task, use, output, arrived=arrived, began=began, ended=ended)

    def _check_deadline(self, task: Task, deadline_ms: float) -> None:
        if task.deadline_ms and self._clock.now_ms() >= deadline_ms:
            raise DeadlineError(f"the deadline of {task.task_id} passed before work on it began")

    def _success(self, task: Task, use: Use, output: bytes, *, arrived: float, began: float, ended: float) -> Result:
        limit = self._bus.max_payload_bytes - RESULT_OVERHEAD_BYTES
        if len(output) > limit:
            raise TooLargeError(
                f"the result of {task.task_type} has {len(output):,} bytes, and NATS takes {limit:,}; ask for less at "
                "once, or raise max_payload on the NATS server"
            )
        queue_ms = (began - arrived) * 1000 - use.load_ms
        self._log_task(
            f"Task completed in {ended - arrived:.4f} seconds",
            task_id=task.task_id,
            task_type=task.task_type,
            label=task.label,
            route=task.route,
            label_hit=use.hit,
            waited_ms=round(task.waited_ms, 2),
            queue_ms=round(queue_ms, 2),
            load_ms=round(use.load_ms, 2),
            run_ms=round((ended - began) * 1000, 2),
            expected_ms=round(task.expected_ms, 2),
            attempt=task.attempt,
        )
        return self._result(
            task,
            Status.OK,
            output=output,
            label_hit=use.hit,
            queue_ms=max(0.0, queue_ms),
            load_ms=use.load_ms,
            run_ms=(ended - began) * 1000,
            evicted_label=use.evicted,
        )

    def _failure(self, task: Task, exc: LabelbusError) -> Result:
        log = logger.bind(
            task_id=task.task_id,
            task_type=task.task_type,
            label=task.label,
            route=task.route,
            waited_ms=round(task.waited_ms, 2),
            expected_ms=round(task.expected_ms, 2),
            attempt=task.attempt,
            code=exc.code,
        )
        if isinstance(exc, WorkerError | DeadlineError):
            log.bind(reason=reason(exc)).error("task failed")
        else:
            log.bind(reason=reason(exc)).info("task refused")
        return self._result(task, Status.FAILED, error_code=exc.code, error_message=reason(exc)[:4000])

    def _result(self, task: Task, status: Status, **fields: Any) -> Result:
        return Result(task_id=task.task_id, worker_id=self._worker_id, status=status, attempt=task.attempt, **fields)

    async def _answer(self, msg: Msg, result: Result) -> None:
        """Send the result with the worker's state as of now, unless it has left: then it is no worker any more."""
        state = None if self._left else self._presence.state()
        payload = encode_result(msgspec.structs.replace(result, state=state))
        if len(payload) > self._bus.max_payload_bytes:  # so many labels that the state leaves no room
            payload = encode_result(result)
        await self._send(msg, payload)

    async def _send(self, msg: Msg, payload: bytes) -> None:
        if not msg.reply:
            logger.bind(subject=msg.subject).warning("nobody to answer: the message had no reply subject")
            return
        try:
            await self._bus.nc.publish(msg.reply, payload)
        except nats.errors.Error as exc:
            logger.bind(subject=msg.reply, bytes=len(payload), reason=reason(exc)).error("answer not sent")


def _sender(reply: str) -> str:
    """Who sent it: the reply subject without its last token, which counts assignments."""
    return reply.rpartition(".")[0]
