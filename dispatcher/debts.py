"""Which workers owe answers, and what follows from what they say of it. Pure: time comes as an argument.

A request to a worker that is killed gives nothing but a timeout, and so does one that was on the wire when NATS went,
in either direction. So a worker that owes an answer and has not been heard of, or owes one for long, is asked for its
state. "No responders" says that it is gone; silence that it hangs; and an answer names the tasks that it has: what is
missing twice in a row was lost on the way. Tasks of the queue group are with nobody known, so all workers are asked,
and who names a task owes it from then on.
"""

import math
from collections.abc import Collection
from typing import Final

import msgspec

from bus.names import ANY_WORKER

INTERVAL_S: Final = 0.4
"""Between rounds. No responders answers in a millisecond: a killed worker is known within twice this."""

SILENCE_S: Final = 4.0
"""A worker that answers no probe for so long hangs. A load or a long task does not keep a worker from answering."""

AUDIT_S: Final = 2.0
"""Who owes an answer for so long is asked, however lively it is: the task may have been lost on the way."""

MISSES: Final = 2
"""A task must be missing from so many answers that come a round apart: one may overtake it on the way.

Answers that come together count as one: those to pings that were held up are all as old as the oldest.
"""


class Ask(msgspec.Struct, frozen=True):
    """Ask a worker for its state; `ANY_WORKER` is all of them."""

    worker_id: str


class Hangs(msgspec.Struct, frozen=True, kw_only=True):
    """A worker answers nothing."""

    worker_id: str
    silent_s: float


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody has the task, and nobody will answer it; `worker_id` is empty where none ever had it."""

    token: int
    worker_id: str


class _Debt(msgspec.Struct):
    sent_at: float
    direct: bool
    misses: int = 0
    missed_at: float = -math.inf


class _Debtor(msgspec.Struct):
    debts: dict[int, _Debt]
    heard_at: float
    asked_at: float = -1.0


class Debts:
    """Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._debtors: dict[str, _Debtor] = {}
        self._debtor_of: dict[int, str] = {}

    def __bool__(self) -> bool:
        return bool(self._debtors)

    def sent(self, now: float, token: int, worker_id: str) -> None:
        """A task went to this worker, or with `ANY_WORKER` to the queue group."""
        self._owe(now, token, worker_id, _Debt(now, worker_id != ANY_WORKER))

    def settled(self, token: int) -> None:
        """It was answered, one way or the other."""
        worker_id = self._debtor_of.pop(token, None)
        if worker_id is not None:
            debtor = self._debtors[worker_id]
            del debtor.debts[token]
            if not debtor.debts:
                del self._debtors[worker_id]

    def heard(self, now: float, worker_id: str) -> None:
        """The worker gave a sign of life."""
        debtor = self._debtors.get(worker_id)
        if debtor is not None:
            debtor.heard_at = now

    def excuse(self, now: float) -> None:
        """Nobody can be heard: silence counts from now on."""
        for debtor in self._debtors.values():
            debtor.heard_at = now
            debtor.asked_at = -1.0

    def gone(self, worker_id: str) -> list[Lost]:
        """The worker is gone. Named are the tasks that the queue group gave it; those sent to it are known."""
        debtor = self._debtors.pop(worker_id, None)
        if debtor is None:
            return []
        for token in debtor.debts:
            del self._debtor_of[token]
        return [Lost(token=token, worker_id=worker_id) for token, debt in debtor.debts.items() if not debt.direct]

    def told(self, now: float, worker_id: str, asked_at: float, owed: Collection[int]) -> list[Lost]:
        """The worker answered what was asked at `asked_at`, and has these tasks."""
        unclaimed = self._debtors.get(ANY_WORKER)
        for token in owed if unclaimed is not None else ():
            debt = unclaimed.debts.get(token) if unclaimed is not None else None
            if debt is not None:
                self.settled(token)
                self._owe(now, token, worker_id, debt)
        self.heard(now, worker_id)
        debtor = self._debtors.get(worker_id)
        lost = []
        for token, debt in debtor.debts.items() if debtor is not None else ():
            if token in owed:
                debt.misses = 0
            elif debt.sent_at < asked_at and now - debt.missed_at >= INTERVAL_S / 2:
                debt.misses += 1
                debt.missed_at = now
                if debt.misses >= MISSES:
                    lost.append(Lost(token=token, worker_id=worker_id))
        for loss in lost:
            self.settled(loss.token)
        return lost

    def round(self, now: float) -> list[Ask | Hangs | Lost]:
        """What is to be done now; call it every `INTERVAL_S`."""
        todo: list[Ask | Hangs | Lost] = []
        for worker_id, debtor in self._debtors.items():
            if worker_id == ANY_WORKER:
                todo += self._ask_all(now, debtor)
            elif debtor.asked_at > debtor.heard_at and now - debtor.heard_at > SILENCE_S:
                todo.append(Hangs(worker_id=worker_id, silent_s=now - debtor.heard_at))
            elif self._is_to_be_asked(now, debtor):
                debtor.asked_at = now
                todo.append(Ask(worker_id))
        for item in todo:
            if isinstance(item, Lost):
                self.settled(item.token)
        return todo

    def _owe(self, now: float, token: int, worker_id: str, debt: _Debt) -> None:
        self._debtor_of[token] = worker_id
        debtor = self._debtors.get(worker_id)
        if debtor is None:
            self._debtors[worker_id] = _Debtor({token: debt}, now)
        else:
            debtor.debts[token] = debt

    def _is_to_be_asked(self, now: float, debtor: _Debtor) -> bool:
        if now - debtor.heard_at >= INTERVAL_S:
            return True
        oldest = next(iter(debtor.debts.values()))
        since_s = now - max(debtor.asked_at, oldest.sent_at)
        return since_s >= AUDIT_S or any(debt.misses for debt in debtor.debts.values())

    def _ask_all(self, now: float, unclaimed: _Debtor) -> list[Ask | Hangs | Lost]:
        """A task that nobody names in all the time that a worker may be silent is with nobody."""
        if unclaimed.asked_at < 0:  # the first time, or the first since nobody could be heard
            for debt in unclaimed.debts.values():
                debt.sent_at = max(debt.sent_at, unclaimed.heard_at)
        todo: list[Ask | Hangs | Lost] = [
            Lost(token=token, worker_id="") for token, debt in unclaimed.debts.items() if now - debt.sent_at > SILENCE_S
        ]
        if any(now - debt.sent_at >= INTERVAL_S for debt in unclaimed.debts.values()):
            unclaimed.asked_at = now
            todo.append(Ask(ANY_WORKER))
        return todo
