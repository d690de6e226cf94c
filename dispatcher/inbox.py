"""What comes to a dispatcher over the bus: answers, refusals, states and the echoes of probes, read and passed on."""

from contextlib import suppress
from typing import Final, Protocol

import nats.errors
from loguru import logger
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from bus.codec import decode_result, decode_state
from bus.connection import Bus
from bus.errors import MalformedError, reason
from bus.messages import Result, Status
from dispatcher.counts import Counts
from dispatcher.probes import Probes
from dispatcher.router import WorkerView
from dispatcher.views import view_of_state

NO_RESPONDERS: Final = "503"


class Reader(Protocol):
    """Whom the inbox tells. `number` is the router's number of an assignment, or one that it never gave."""

    async def heard_of(self, view: WorkerView) -> None:
        """A worker said how it is."""

    async def answered(self, number: int, result: Result, view: WorkerView | None) -> None:
        """A worker ran a task, or failed at it."""

    async def bounced(self, number: int, view: WorkerView | None, *, no_responders: bool) -> None:
        """A worker was busy, or nobody listened."""

    async def unreadable(self, number: int, exc: MalformedError) -> None:
        """A worker answered, and nobody can read what."""


class Inbox:
    """The dispatcher's subscriptions. Assignments go out with `reply_to(number)` as their reply subject.

    `life` tells this process from earlier ones of the same name.
    """

    def __init__(self, bus: Bus, dispatcher_id: str, life: str, reader: Reader, counts: Counts) -> None:
        self._bus = bus
        self._id = dispatcher_id
        self._life = f"{life}-"
        self._reader = reader
        self._counts = counts
        self._probes: Probes
        self._subscriptions: list[Subscription] = []

    async def open(self, probes: Probes) -> None:
        """Listen."""
        self._probes = probes
        nc, subjects = self._bus.nc, self._bus.subjects
        self._subscriptions = [
            await nc.subscribe(subjects.reply(self._id, "*"), cb=self._on_reply),
            await nc.subscribe(subjects.state("*"), cb=self._on_state),
        ]

    async def close(self) -> None:
        """Listen no more."""
        for subscription in self._subscriptions:
            with suppress(nats.errors.Error):  # the connection went first
                await subscription.unsubscribe()

    def reply_to(self, number: int) -> str:
        """Where the answer to an assignment is to go."""
        return self._bus.subjects.reply(self._id, f"{self._life}{number}")

    def number_of(self, token: str) -> int:
        """The router's number of an assignment; one that was never given, for a token of an earlier life.

        A dispatcher that is restarted under its name counts anew, and late results would meet others' tasks.
        """
        number = token.removeprefix(self._life)
        return int(number) if number != token and number.isascii() and number.isdigit() else -1

    async def _on_state(self, msg: Msg) -> None:
        try:
            state = decode_state(msg.data)
        except MalformedError as exc:
            self._ignore(msg, exc)
            return
        self._probes.heard(state.worker_id)
        await self._reader.heard_of(view_of_state(state))

    async def _on_reply(self, msg: Msg) -> None:
        token = msg.subject.rpartition(".")[2]
        no_responders = msg.headers is not None and msg.headers.get("Status") == NO_RESPONDERS
        if token.startswith(Probes.MARK):
            await self._on_probe(token, msg, no_responders)
            return
        number = self.number_of(token)
        if no_responders:
            self._probes.settled(number)
            self._counts.bounced += 1
            # Just after NATS was away the worker may only need a moment longer than this dispatcher.
            await self._reader.bounced(number, None, no_responders=not self._bus.unsettled)
            return
        try:
            result = decode_result(msg.data)
        except MalformedError as exc:
            self._ignore(msg, exc)
            self._probes.settled(number)
            await self._reader.unreadable(number, exc)
            return
        self._probes.settled(number)
        self._probes.heard(result.worker_id)
        view = None if result.state is None else view_of_state(result.state)
        if result.status is Status.BUSY:
            self._counts.bounced += 1
            await self._reader.bounced(number, view, no_responders=False)
        else:
            await self._reader.answered(number, result, view)

    async def _on_probe(self, token: str, msg: Msg, no_responders: bool) -> None:
        if no_responders or self._probes.is_echo(token):
            self._probes.answered(token, None)
            return
        try:
            state = decode_state(msg.data)
        except MalformedError as exc:
            self._ignore(msg, exc)
            return
        self._probes.answered(token, state)
        await self._reader.heard_of(view_of_state(state))

    def _ignore(self, msg: Msg, exc: MalformedError) -> None:
        self._counts.malformed += 1
        log = logger.bind(subject=msg.subject, reason=reason(exc), malformed=self._counts.malformed)
        log.warning("message ignored")
