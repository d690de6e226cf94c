"""Serves `lb.convert`: requests in, conversions in processes of their own, progress and replies out."""

import asyncio
import contextlib
import time
from collections.abc import Iterable
from typing import Final

import nats.errors
from loguru import logger
from nats.aio.msg import Msg

from bus.codec import decode_convert_request, encode_convert_reply, encode_progress
from bus.connection import Bus
from bus.errors import LabelbusError, MalformedError, StoppingError
from bus.messages import ConvertProgress, ConvertReply, ConvertRequest
from bus.names import model_name
from bus.subjects import CONVERTER_GROUP
from converter.admission import Join, Refuse, UnderWay, admit
from converter.conversion import check_batch_size, convert
from converter.events import Step
from converter.publish import has_entry, prepare_repository, recover
from converter.settings import ConverterSettings
from converter.source import FolderModel, HubModel, parse_model_id

HEARTBEAT_S: Final = 1.0
"""The last progress is told again this often: an asker that hears nothing for some seconds may give up."""

DONE: Final = "done"
FAILED: Final = "failed"
"""The last stages; whatever comes before them is under way."""

SHOWN_ID_CHARS: Final = 200


class _Flight:
    """One conversion under way, and everyone who waits for it."""

    def __init__(self, request: ConvertRequest, source: HubModel | FolderModel, asker: Msg) -> None:
        self.request: Final = request
        self.source: Final = source
        self.askers = [asker]
        self.steps: asyncio.Queue[Step] = asyncio.Queue()
        self.running = False
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
    """Converts what is asked for on the bus. `malformed` counts messages that were no requests."""

    def __init__(self, bus: Bus, settings: ConverterSettings, *, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._bus: Final = bus
        self._settings: Final = settings
        self._heartbeat_s: Final = heartbeat_s
        self._slots: Final = asyncio.Semaphore(settings.max_concurrent)
        self._flights: dict[str, _Flight] = {}
        self._tasks: dict[asyncio.Task[None], _Flight] = {}
        self._stopping = False
        self.malformed = 0

    async def run(self, stopping: asyncio.Event, ready: asyncio.Event) -> None:
        """Set `ready` and serve until `stopping` is set, then give what runs `drain_timeout_s`, and answer everyone.

        Raises `UnavailableError` if the model repository cannot be written.
        """
        root = self._settings.model_repository
        await asyncio.to_thread(prepare_repository, root)
        if leftovers := await asyncio.to_thread(recover, root):
            logger.bind(folders=leftovers).warning("cleared away what an earlier converter left")
        subscription = await self._bus.nc.subscribe(
            self._bus.subjects.convert, queue=CONVERTER_GROUP, cb=self._on_message
        )
        await self._bus.settle()
        logger.bind(model_repository=str(root), subject=self._bus.subjects.convert).info("converter ready")
        ready.set()
        try:
            await stopping.wait()
        finally:
            self._stopping = True
            await self._bus.leave(subscription)
            await self._finish()

    async def _finish(self) -> None:
        _cancel(task for task, flight in self._tasks.items() if not flight.running)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._settings.drain_timeout_s)
        _cancel(self._tasks)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _on_message(self, message: Msg) -> None:
        try:
            await self._receive(message)
        except Exception:  # noqa: BLE001  # whatever one message does, the next one must be served
            logger.exception("request failed")
            await self._reply([message], ConvertReply(model_name="", message="see the log", error_code="internal"))

    async def _receive(self, message: Msg) -> None:
        try:
            request = decode_convert_request(message.data)
        except MalformedError as exc:
            self.malformed += 1
            logger.bind(bytes=len(message.data), malformed=self.malformed, error=exc.message).warning(
                "malformed request"
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
        # No await between the decision and what is done about it: two requests at once must see each other.
        if self._stopping:
            raise _stopping_error()
        label = source.label
        decision = admit(
            request,
            label,
            under_way={
                each: UnderWay(request=flight.request, joined=len(flight.askers))
                for each, flight in self._flights.items()
            },
            exists=has_entry(self._settings.model_repository, label),
            max_under_way=self._settings.max_concurrent + self._settings.max_waiting,
        )
        if isinstance(decision, Refuse):
            raise decision.error
        if isinstance(decision, Join):
            self._flights[label].askers.append(message)
            return
        flight = _Flight(request, source, message)
        self._flights[label] = flight
        task = asyncio.create_task(self._fly(flight), name=f"convert {label}")
        self._tasks[task] = flight
        task.add_done_callback(self._tasks.pop)

    async def _fly(self, flight: _Flight) -> None:
        telling = asyncio.create_task(self._tell(flight), name=f"progress of {flight.source.label}")
        try:
            reply = await self._convert(flight)
        except asyncio.CancelledError:
            reply = _error_reply(model_name(flight.source.label), _stopping_error())
        finally:
            # From here on nobody may join: the askers below get the answer, later ones begin anew.
            del self._flights[flight.source.label]
        stage = FAILED if reply.error_code else DONE
        flight.steps.put_nowait(Step(stage=stage, fraction=1.0, message=reply.message))
        await telling
        await self._reply(flight.askers, reply)

    async def _convert(self, flight: _Flight) -> ConvertReply:
        name = model_name(flight.source.label)
        bound = logger.bind(model_id=flight.request.model_id, model_name=name)
        flight.steps.put_nowait(Step(stage="queued", fraction=0.0, message="waiting for its turn"))
        try:
            async with self._slots:
                flight.running = True
                bound.info("conversion started")
                converted = await convert(
                    flight.request,
                    flight.source,
                    self._settings.model_repository,
                    self._settings.limits,
                    flight.steps.put_nowait,
                )
        except LabelbusError as exc:
            bound.bind(code=exc.code, error=exc.message, seconds=_since(flight.started)).error("conversion failed")
            return _error_reply(name, exc, seconds=_since(flight.started))
        except Exception:  # noqa: BLE001  # a fault of this program: it costs one conversion, not the service
            bound.exception("conversion failed")
            return ConvertReply(model_name=name, message="a fault of the converter: see its log", error_code="internal")
        bound.bind(
            source=converted.source,
            dim=converted.info.dim,
            cosine=converted.info.cosine,
            seconds=round(converted.seconds, 3),
            peak_memory_mb=converted.peak_memory_bytes >> 20,
        ).info("model converted")
        return ConvertReply(model_name=name, message=converted.sentence, seconds=converted.seconds)

    async def _tell(self, flight: _Flight) -> None:
        step = await flight.steps.get()
        await self._publish(flight, step)
        while step.stage not in (DONE, FAILED):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._heartbeat_s):
                    step = await flight.steps.get()
            await self._publish(flight, step)

    async def _publish(self, flight: _Flight, step: Step) -> None:
        progress = flight.progress(step)
        with contextlib.suppress(nats.errors.Error):  # progress is a courtesy; the reply is the answer
            await self._bus.nc.publish(self._bus.subjects.convert_event(progress.model_name), encode_progress(progress))

    async def _reply(self, askers: Iterable[Msg], reply: ConvertReply) -> None:
        data = encode_convert_reply(reply)
        for asker in askers:
            if asker.reply:
                try:
                    await asker.respond(data)
                except nats.errors.Error as exc:
                    logger.bind(model_name=reply.model_name, error=str(exc)).warning("reply not sent")


def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in list(tasks):
        task.cancel()


def _error_reply(name: str, error: LabelbusError, *, seconds: float = 0.0) -> ConvertReply:
    return ConvertReply(model_name=name, message=error.message, error_code=error.code, seconds=seconds)


def _stopping_error() -> StoppingError:
    return StoppingError("the converter is being stopped: try again, another one may take it")


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
