"""The converter's service: takes requests from `lb.convert`, runs conversions, publishes progress and replies."""

import asyncio
import contextlib
import time
from collections.abc import Iterable
from typing import Final, Literal

from loguru import logger

from bus.codec import decode_convert_request, encode_convert_reply, encode_progress
from bus.connection import Bus, Msg
from bus.errors import LabelbusError, MalformedError, StoppingError
from bus.log_throttle import ThrottledLogger
from bus.messages import ConvertProgress, ConvertReply, ConvertRequest
from bus.names import model_name
from bus.subjects import CONVERTER_GROUP
from converter.admission import InFlight, Join, Refuse, admit
from converter.conversion import check_batch_size, convert
from converter.events import Step
from converter.publish import has_entry, prepare_repository, recover
from converter.settings import ConverterSettings
from converter.source import FolderModel, HubModel, parse_model_id

HEARTBEAT_S: Final = 1.0
"""Interval at which the last progress is repeated: a client that gets none for some seconds may give up."""

DONE: Final = "done"
FAILED: Final = "failed"
"""The two last stages of a conversion."""

INTERNAL_ERROR: Final = "internal error of the converter: see its log"

SHOWN_ID_CHARS: Final = 200
"""Characters of a refused model id that are logged."""


class _Conversion:
    """One conversion in conversion, and the messages that wait for its reply."""

    def __init__(self, request: ConvertRequest, source: HubModel | FolderModel, message: Msg) -> None:
        self.request: Final = request
        self.source: Final = source
        self.waiting = [message]
        self.steps: asyncio.Queue[Step] = asyncio.Queue()
        self.phase: Literal["waiting", "running", "ended"] = "waiting"
        self.started = time.monotonic()

    def progress(self, step: Step) -> ConvertProgress:
        return ConvertProgress(
            model_id=self.request.model_id,
            model_name=model_name(self.source.label),
            stage=step.stage,
            fraction=step.fraction,
            message=step.message,
        )


class ConverterService:
    """A converter on the bus. `malformed` counts messages that could not be decoded."""

    def __init__(self, bus: Bus, settings: ConverterSettings, *, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._bus: Final = bus
        self._settings: Final = settings
        self._heartbeat_s: Final = heartbeat_s
        self._slots: Final = asyncio.Semaphore(settings.max_concurrent)
        self._conversions: dict[str, _Conversion] = {}
        self._tasks: dict[asyncio.Task[None], _Conversion] = {}
        self._throttled: Final = ThrottledLogger()
        self._stopping = False
        self.malformed = 0

    async def run(self, stopping: asyncio.Event, ready: asyncio.Event) -> None:
        """Set `ready` and serve until `stopping` is set; then finish and answer every request.

        Conversions that run may go on for `drain_timeout_s`; those that wait are refused. Raises `UnavailableError`
        if the model repository cannot be written.
        """
        root = self._settings.model_repository
        await asyncio.to_thread(prepare_repository, root)
        if leftovers := await asyncio.to_thread(recover, root):
            logger.bind(folders=leftovers).warning("removed leftovers of an earlier converter")
        subscription = await self._bus.subscribe(self._bus.subjects.convert, self._on_message, queue=CONVERTER_GROUP)
        await self._bus.settle()
        logger.bind(model_repository=str(root), subject=self._bus.subjects.convert).info("converter ready")
        ready.set()
        try:
            await stopping.wait()
        finally:
            self._stopping = True
            await self._bus.leave(subscription)
            await self._finish()
            self._throttled.flush()

    async def _finish(self) -> None:
        self._cancel("waiting")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._settings.drain_timeout_s)
        self._cancel("running")
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _cancel(self, phase: Literal["waiting", "running"]) -> None:
        # A conversion that has ended is left alone: it is replying to its requests.
        for task, conversion in list(self._tasks.items()):
            if conversion.phase == phase:
                task.cancel()

    async def _on_message(self, message: Msg) -> None:
        try:
            await self._receive(message)
        except Exception:  # noqa: BLE001  # no message may end the service
            logger.exception("request failed")
            await self._reply([message], _internal_error_reply(""))

    async def _receive(self, message: Msg) -> None:
        try:
            request = decode_convert_request(message.data)
        except MalformedError as exc:
            self.malformed += 1
            self._throttled.warning(
                "malformed request", bytes=len(message.data), malformed=self.malformed, error=exc.message
            )
            await self._reply([message], _error_reply("", exc))
            return
        name = ""
        try:
            check_batch_size(request)
            source = await asyncio.to_thread(
                parse_model_id, request.model_id, allowed_roots=self._settings.allow_folder
            )
            name = model_name(source.label)
            self._admit(request, source, message)
        except LabelbusError as exc:
            logger.bind(model_id=request.model_id[:SHOWN_ID_CHARS], code=exc.code, error=exc.message).warning(
                "conversion refused"
            )
            await self._reply([message], _error_reply(name, exc))

    def _admit(self, request: ConvertRequest, source: HubModel | FolderModel, message: Msg) -> None:
        # No await between the decision and its effect: two requests at the same time must see each other.
        if self._stopping:
            raise _stopping_error()
        label = source.label
        decision = admit(
            request,
            label,
            in_flight={
                each: InFlight(request=conversion.request, joined=len(conversion.waiting))
                for each, conversion in self._conversions.items()
            },
            exists=has_entry(self._settings.model_repository, label),
            max_in_flight=self._settings.max_concurrent + self._settings.max_waiting,
        )
        if isinstance(decision, Refuse):
            raise decision.error
        if isinstance(decision, Join):
            self._conversions[label].waiting.append(message)
            return
        conversion = _Conversion(request, source, message)
        self._conversions[label] = conversion
        task = asyncio.create_task(self._run_conversion(conversion), name=f"convert {label}")
        self._tasks[task] = conversion
        task.add_done_callback(self._tasks.pop)

    async def _run_conversion(self, conversion: _Conversion) -> None:
        telling = asyncio.create_task(self._tell_progress(conversion), name=f"progress of {conversion.source.label}")
        try:
            reply = await self._convert(conversion)
        except asyncio.CancelledError:
            reply = _error_reply(model_name(conversion.source.label), _stopping_error())
        finally:
            # No message may join from here on: those below get the reply, a later one starts another conversion.
            conversion.phase = "ended"
            del self._conversions[conversion.source.label]
        stage = FAILED if reply.error_code else DONE
        conversion.steps.put_nowait(Step(stage=stage, fraction=1.0, message=reply.message))
        await telling
        await self._reply(conversion.waiting, reply)

    async def _convert(self, conversion: _Conversion) -> ConvertReply:
        name = model_name(conversion.source.label)
        bound = logger.bind(model_id=conversion.request.model_id, model_name=name)
        conversion.steps.put_nowait(Step(stage="queued", fraction=0.0, message="waiting for its turn"))
        try:
            async with self._slots:
                conversion.phase = "running"
                bound.info("conversion started")
                converted = await convert(
                    conversion.request,
                    conversion.source,
                    self._settings.model_repository,
                    self._settings.limits,
                    conversion.steps.put_nowait,
                )
        except LabelbusError as exc:
            bound.bind(code=exc.code, error=exc.message, seconds=_since(conversion.started)).error("conversion failed")
            return _error_reply(name, exc, seconds=_since(conversion.started))
        except Exception:  # noqa: BLE001  # a defect here fails one conversion, not the service
            bound.exception("conversion failed")
            return _internal_error_reply(name)
        bound.bind(
            source=converted.source,
            dim=converted.info.dim,
            cosine=converted.info.cosine,
            seconds=round(converted.seconds, 3),
            peak_memory_mb=converted.peak_memory_bytes >> 20,
        ).info("model converted")
        return ConvertReply(model_name=name, message=converted.sentence, seconds=converted.seconds)

    async def _tell_progress(self, conversion: _Conversion) -> None:
        step = await conversion.steps.get()
        await self._publish_step(conversion, step)
        while step.stage not in (DONE, FAILED):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._heartbeat_s):
                    step = await conversion.steps.get()
            await self._publish_step(conversion, step)

    async def _publish_step(self, conversion: _Conversion, step: Step) -> None:
        progress = conversion.progress(step)
        with contextlib.suppress(LabelbusError):  # the reply is what counts; progress may be lost
            await self._bus.publish(self._bus.subjects.convert_event(progress.model_name), encode_progress(progress))

    async def _reply(self, messages: Iterable[Msg], reply: ConvertReply) -> None:
        data = encode_convert_reply(reply)
        for message in messages:
            if message.reply:
                try:
                    await self._bus.publish(message.reply, data)
                except LabelbusError as exc:
                    logger.bind(model_name=reply.model_name, error=exc.message).warning("reply not sent")


def _error_reply(name: str, error: LabelbusError, *, seconds: float = 0.0) -> ConvertReply:
    return ConvertReply(model_name=name, message=error.message, error_code=error.code, seconds=seconds)


def _internal_error_reply(name: str) -> ConvertReply:
    return ConvertReply(model_name=name, message=INTERNAL_ERROR, error_code="internal")


def _stopping_error() -> StoppingError:
    return StoppingError("the converter is stopping: try again, another converter may take the request")


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
