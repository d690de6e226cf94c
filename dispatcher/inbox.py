"""Subscriptions of a dispatcher: messages from NATS in, decoded values out."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec

from bus.codec import decode_result, decode_state
from bus.connection import Bus, Msg, is_no_responders
from bus.errors import BadNameError, LabelbusError, MalformedError, reason
from bus.log_throttle import ThrottledLogger
from bus.messages import Result, WorkerState
from bus.subjects import AssignmentToken, ProbeToken, parse_reply_token, reply_address
from dispatcher.counters import Counters
from dispatcher.reply_subjects import ReplySubjects


class ResultReceived(msgspec.Struct, frozen=True, gc=False):
    """A worker's answer to an assignment."""

    assignment_id: int
    result: Result


class ResultUnreadable(msgspec.Struct, frozen=True, gc=False):
    """A worker's answer to an assignment that cannot be decoded."""

    assignment_id: int
    reason: str


class TaskUndelivered(msgspec.Struct, frozen=True, gc=False):
    """An assignment that found no subscriber."""

    assignment_id: int


class StateReceived(msgspec.Struct, frozen=True, gc=False):
    """A worker's state, which a worker publishes when it changes."""

    state: WorkerState


class PingAnswered(msgspec.Struct, frozen=True, gc=False):
    """A worker's state in answer to a ping of `pinged_at`, with this dispatcher's assignments that the worker has.

    `assignment_ids` is None if the worker does not tell, being of an older version.
    """

    pinged_at: float
    state: WorkerState
    assignment_ids: frozenset[int] | None


class PingUndelivered(msgspec.Struct, frozen=True, gc=False):
    """A ping that found no subscriber; `worker_id` may be `ANY_WORKER`."""

    worker_id: str


class EchoReceived(msgspec.Struct, frozen=True, gc=False):
    """A message of this dispatcher to itself."""


Received = (
    ResultReceived | ResultUnreadable | TaskUndelivered | StateReceived | PingAnswered | PingUndelivered | EchoReceived
)


class Inbox:
    """The dispatcher's subscriptions. `receive` is awaited with each decoded message, one at a time per subscription.

    A message that cannot be decoded is counted; at most one line a second is logged about such messages.
    """

    def __init__(
        self,
        bus: Bus,
        replies: ReplySubjects,
        counters: Counters,
        *,
        receive: Callable[[Received], Awaitable[None]],
    ) -> None:
        self._bus = bus
        self._replies = replies
        self._counters = counters
        self._receive = receive
        self._log = ThrottledLogger()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Receive messages within the block."""
        subscriptions = [
            await self._bus.subscribe(self._replies.all, self._on_reply),
            await self._bus.subscribe(self._bus.subjects.state("*"), self._on_state),
        ]
        try:
            yield
        finally:
            for subscription in subscriptions:
                await self._bus.unsubscribe(subscription)
            self._log.flush()

    async def _on_state(self, msg: Msg) -> None:
        state = self._decode_state(msg)
        if state is not None:
            await self._receive(StateReceived(state))

    async def _on_reply(self, msg: Msg) -> None:
        received = self._decode_reply(msg)
        if received is not None:
            await self._receive(received)

    def _decode_reply(self, msg: Msg) -> Received | None:
        try:
            token = parse_reply_token(reply_address(msg.subject).token)
        except BadNameError as exc:
            self._ignore(msg, exc)
            return None
        no_responders = is_no_responders(msg)
        match token:
            case AssignmentToken():
                assignment_id = self._replies.assignment_id(token)
                return TaskUndelivered(assignment_id) if no_responders else self._decode_result(msg, assignment_id)
            case ProbeToken(asked_ms, worker_id):
                if token.is_echo:
                    return EchoReceived()
                return PingUndelivered(worker_id) if no_responders else self._decode_pong(msg, asked_ms / 1000)

    def _decode_result(self, msg: Msg, assignment_id: int) -> Received:
        try:
            return ResultReceived(assignment_id, decode_result(msg.data))
        except MalformedError as exc:
            self._ignore(msg, exc)
            return ResultUnreadable(assignment_id, reason(exc))

    def _decode_pong(self, msg: Msg, pinged_at: float) -> Received | None:
        state = self._decode_state(msg)
        if state is None:
            return None
        held = None if state.outstanding is None else self._replies.assignment_ids(state.outstanding)
        return PingAnswered(pinged_at, state, held)

    def _decode_state(self, msg: Msg) -> WorkerState | None:
        try:
            return decode_state(msg.data)
        except MalformedError as exc:
            self._ignore(msg, exc)
            return None

    def _ignore(self, msg: Msg, error: LabelbusError) -> None:
        count = self._counters.malformed = self._counters.malformed + 1
        self._log.warning("message ignored", subject=msg.subject, reason=reason(error), malformed=count)
