"""The worker on the bus: takes tasks, has their labels held, runs them, answers."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import msgspec
import nats.errors
from loguru import logger
from nats.aio.msg import Msg

from bus.codec import decode_progress, decode_task, encode_result, encode_state
from bus.connection import Bus
from bus.errors import (
    BadNameError,
    LabelbusError,
    MalformedError,
    reason,
)
from bus.messages import Result, Status, Task
from bus.names import normalise_label
from bus.owned import end
from bus.registry import Registration
from bus.version import labelbus_version
from worker.cache import LabelCache
from worker.holder import LabelHolder
from worker.presence import Presence
from worker.runner import Completed, TaskRunner
from worker.runtimes.protocol import Runtime
from worker.settings import WorkerSettings
from worker.tasks import Limits, TaskType
from worker.tokens import Tokens

RESULT_OVERHEAD_BYTES: Final = 16 * 1024
"""Room in a message for everything in a Result but its output: a state with some hundred labels."""


class Serving(msgspec.Struct, frozen=True):
    """A task that was taken and is not answered yet, and where its answer goes."""

    task: asyncio.Task[None]
    reply: str


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
        self._settings = settings
        self._worker_id = worker_id
        self._runtime = runtime
        self._task_types = task_types
        self._log_completed = log_completed
        self._tokens = Tokens(settings.model_repository, held=settings.capacity + 1)
        self._cache = LabelCache(settings.capacity)
        self._loop = asyncio.get_running_loop()
        self._serving: dict[int, Serving] = {}
        self._taken = 0
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
        self._runner: TaskRunner
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
                self._runner = TaskRunner(
                    self._worker_id,
                    self._task_types,
                    self._holder,
                    self._runtime,
                    self._tokens,
                    slots=self._settings.slots,
                    limits=Limits(max_texts=self._settings.max_texts, max_text_chars=self._settings.max_text_chars),
                    max_output_bytes=lambda: self._bus.max_payload_bytes - RESULT_OVERHEAD_BYTES,
                    log_completed=self._log_completed,
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
            await self._give_up()  # what was left, if anything here failed
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
            self._holder.close()
            await self._give_up()

    async def _give_up(self) -> None:
        """Cancel the tasks that are served; each answers that it was."""
        under_way = [serving.task for serving in self._serving.values()]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

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
        replies = [serving.reply for serving in self._serving.values()]
        owed = tuple(reply.rpartition(".")[2] for reply in replies if _sender(reply) == asker)
        await self._send(msg, encode_state(msgspec.structs.replace(self._presence.state(), owed=owed)))

    async def _on_task(self, msg: Msg) -> None:
        try:
            task = decode_task(msg.data)
        except MalformedError as exc:
            self._ignore(msg, exc)
            return
        if self._presence.draining or self._presence.occupied >= self._settings.slots + self._settings.window:
            busy = Result(task_id=task.task_id, worker_id=self._worker_id, status=Status.BUSY, attempt=task.attempt)
            await self._send(msg, self._payload(busy))
            return
        self._presence.took()
        self._idle.clear()
        # Owned by what it is entered in, not by the task group: its end is seen to there, at half the price.
        self._taken += 1
        serve = self._serve(self._taken, task, msg, time.monotonic())
        self._serving[self._taken] = Serving(self._loop.create_task(serve, name=task.task_id), msg.reply)

    def _ignore(self, msg: Msg, exc: LabelbusError) -> None:
        self.malformed += 1
        logger.bind(subject=msg.subject, reason=reason(exc), malformed=self.malformed).warning("message ignored")

    async def _serve(self, number: int, task: Task, msg: Msg, arrived: float) -> None:
        """Run one task and answer it."""
        try:
            result = await self._runner.run(task, _sender(msg.reply), arrived)
            self._presence.answered()
            await self._send(msg, self._payload(result))
        finally:
            del self._serving[number]  # not before it is sent: what is neither owed nor answered counts as lost
            if not self._serving:
                self._idle.set()

    def _payload(self, result: Result) -> bytes:
        """The result with the worker's state as of now, unless it has left: then it is no worker any more."""
        state = None if self._left else self._presence.state()
        payload = encode_result(msgspec.structs.replace(result, state=state))
        if len(payload) > self._bus.max_payload_bytes:  # so many labels that the state leaves no room
            payload = encode_result(result)
        return payload

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
