"""Reply subjects of one dispatcher process; `bus.subjects` has their form."""

from typing import Final

from bus.errors import BadNameError
from bus.subjects import AssignmentToken, Subjects, parse_reply_token

UNKNOWN_ASSIGNMENT: Final = -1
"""Stands for the id of an assignment that this process did not make; the router never gives it."""


class ReplySubjects:
    """Builds the reply subjects of one dispatcher process.

    `incarnation` tells the process from an earlier one of the same name, whose assignments were counted from 1 as well:
    a result that comes late must not meet the task of another assignment.
    """

    def __init__(self, subjects: Subjects, dispatcher_id: str, *, incarnation: str) -> None:
        self._subjects = subjects
        self._dispatcher_id = dispatcher_id
        self._incarnation = incarnation

    @property
    def all(self) -> str:
        """The pattern of all replies to this dispatcher."""
        return self._subjects.reply(self._dispatcher_id, "*")

    def assignment(self, assignment_id: int) -> str:
        """Return the subject for the answer to an assignment."""
        return self._subjects.assignment_reply(self._dispatcher_id, self._incarnation, assignment_id)

    def ping(self, now: float, worker_id: str) -> str:
        """Return the subject for the answer to a ping that is sent now, a time of the loop's clock in seconds."""
        return self._subjects.probe_reply(self._dispatcher_id, int(now * 1000), worker_id)

    def echo(self, now: float) -> str:
        """Return the subject for a message to this process itself."""
        return self.ping(now, "")

    def assignment_id(self, token: AssignmentToken) -> int:
        """Return the id of the assignment if this process made it, or else `UNKNOWN_ASSIGNMENT`."""
        return token.assignment_id if token.incarnation == self._incarnation else UNKNOWN_ASSIGNMENT

    def assignment_ids(self, tokens: tuple[str, ...]) -> frozenset[int]:
        """Return the ids of this process's assignments among the tokens of reply subjects."""
        return frozenset(map(self._read, tokens)) - {UNKNOWN_ASSIGNMENT}

    def _read(self, text: str) -> int:
        try:
            token = parse_reply_token(text)
        except BadNameError:
            return UNKNOWN_ASSIGNMENT
        return self.assignment_id(token) if isinstance(token, AssignmentToken) else UNKNOWN_ASSIGNMENT
