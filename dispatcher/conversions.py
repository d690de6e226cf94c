"""Requests to the converter, which wait as long as it shows signs of life."""

import asyncio
from typing import Final

from bus.codec import decode_convert_reply, encode_convert_request
from bus.connection import Bus, Msg, is_no_responders
from bus.errors import MalformedError, StoppingError, UnavailableError, WorkerError, reason
from bus.messages import ConvertReply, ConvertRequest
from dispatcher.answers import error_of

MAX_ASKED: Final = 5
"""Converters asked one after the other, since each may be stopping while all of them are replaced."""

PROGRESS_TIMEOUT_REASON = "the converter has been silent for {:.0f} s; its log may say why"


class NoConverterError(UnavailableError):
    """No converter listens on `lb.convert`."""


class Conversions:
    """Requests on `lb.convert`."""

    def __init__(self, bus: Bus, *, idle_s: float) -> None:
        self._bus = bus
        self._idle_s = idle_s

    async def convert(self, request: ConvertRequest) -> ConvertReply:
        """Have the model converted; return the converter's reply once the model is published.

        Raises what the converter reports (`UnknownModelError`, `ConflictError`, …), and `UnavailableError` if there is
        no converter or the converter falls silent. The progress of any conversion counts as a sign of life, since
        conversions take turns. If a converter is being stopped and gives the request back, another one is asked.
        """
        stopped: StoppingError | None = None
        for _ in range(MAX_ASKED):
            try:
                return await self._ask(request)
            except StoppingError as exc:
                stopped = exc
            except NoConverterError:
                if stopped is not None:
                    raise stopped from None
                raise
        assert stopped is not None
        raise stopped

    async def _ask(self, request: ConvertRequest) -> ConvertReply:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Msg] = loop.create_future()
        heard = asyncio.Event()

        async def on_answer(msg: Msg) -> None:
            if not answer.done():
                answer.set_result(msg)
            heard.set()

        async def on_progress(_: Msg) -> None:
            heard.set()

        bus = self._bus
        inbox = bus.new_inbox()
        replies = await bus.subscribe(inbox, on_answer)
        progress = await bus.subscribe(bus.subjects.convert_event("*"), on_progress)
        try:
            await bus.publish(bus.subjects.convert, encode_convert_request(request), reply=inbox)
            msg = await self._wait(answer, heard)
        finally:
            await bus.unsubscribe(progress)
            await bus.unsubscribe(replies)
        if is_no_responders(msg):
            raise NoConverterError("no converter is running; start one with `labelbus converter`")
        try:
            reply = decode_convert_reply(msg.data)
        except MalformedError as exc:  # not the fault of whoever asked for the conversion
            raise WorkerError(f"the converter's answer cannot be read: {reason(exc)}") from exc
        if reply.error_code:
            raise error_of(reply.error_code, reply.message)
        return reply

    async def _wait(self, answer: asyncio.Future[Msg], heard: asyncio.Event) -> Msg:
        while not answer.done():
            heard.clear()
            try:
                async with asyncio.timeout(self._idle_s):
                    await heard.wait()
            except TimeoutError as exc:
                raise UnavailableError(PROGRESS_TIMEOUT_REASON.format(self._idle_s)) from exc
        return answer.result()
