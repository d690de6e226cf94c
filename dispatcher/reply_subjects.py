"""Reply subjects of one dispatcher process, built and parsed here.

    <prefix>.reply.<dispatcher>.<life>-<assignment id>     the answer to an assignment
    <prefix>.reply.<dispatcher>.p-<ms>-<worker>            the answer to a ping, sent at <ms> of the loop's clock
    <prefix>.reply.<dispatcher>.p-<ms>-                    an echo: what the dispatcher sends to itself

`<life>` tells the process from an earlier one of the same name, whose assignments were counted from 1 as well: a result
that comes late must not meet the task of another assignment.
"""

from typing import Final

import msgspec

from bus.subjects import Subjects

UNKNOWN_ASSIGNMENT: Final = -1
"""Stands for the id of an assignment that this process did not make."""

MAX_TIME_DIGITS: Final = 15
"""Milliseconds of thirty thousand years; with more digits the time of a ping is no time, and may be no float."""

_PING: Final = "p-"


class AssignmentReply(msgspec.Struct, frozen=True, gc=False):
    """The reply subject of an assignment; the id is `UNKNOWN_ASSIGNMENT` for one of another process."""

    assignment_id: int


class PingReply(msgspec.Struct, frozen=True, gc=False):
    """The reply subject of a ping that was sent at `pinged_at`; `worker_id` may be `ANY_WORKER`."""

    pinged_at: float
    worker_id: str


class EchoReply(msgspec.Struct, frozen=True, gc=False):
    """The subject of an echo."""


ReplySubject = AssignmentReply | PingReply | EchoReply


class ReplySubjects:
    """The reply subjects of the dispatcher's process that is called `life`."""

    def __init__(self, subjects: Subjects, dispatcher_id: str, life: str) -> None:
        self.all: Final = subjects.reply(dispatcher_id, "*")
        self._begin = self.all.removesuffix("*")
        self._life = f"{life}-"

    def assignment(self, assignment_id: int) -> str:
        """Return the subject for the answer to an assignment."""
        return f"{self._begin}{self._life}{assignment_id}"

    def ping(self, now: float, worker_id: str) -> str:
        """Return the subject for the answer to a ping that is sent now, a time of the loop's clock in seconds."""
        return f"{self._begin}{_PING}{int(now * 1000)}-{worker_id}"

    def echo(self, now: float) -> str:
        """Return the subject for a message to this process itself."""
        return self.ping(now, "")

    def parse(self, subject: str) -> ReplySubject | None:
        """Return what a reply subject of this dispatcher names; None for a ping that cannot be one."""
        token = subject.rpartition(".")[2]
        if not token.startswith(_PING):
            return AssignmentReply(self.assignment_id(token))
        time_ms, _, worker_id = token.removeprefix(_PING).partition("-")
        if not (time_ms.isascii() and time_ms.isdecimal() and len(time_ms) <= MAX_TIME_DIGITS):
            return None
        return PingReply(int(time_ms) / 1000, worker_id) if worker_id else EchoReply()

    def assignment_id(self, token: str) -> int:
        """Return the assignment id in the last token of a reply subject, or `UNKNOWN_ASSIGNMENT`."""
        digits = token.removeprefix(self._life)
        return int(digits) if digits != token and digits.isascii() and digits.isdigit() else UNKNOWN_ASSIGNMENT
