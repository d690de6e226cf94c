"""Which workers owe answers, and what follows from what they say of it. Pure: time comes as an argument.

A request to a worker that is killed gives nothing but a timeout, and so does one that was on the wire when NATS went,
in either direction. So a worker that owes an answer and has not been heard of, or owes one for long, is asked for its
state. "No responders" says that it is gone; silence that it hangs; and an answer names the tasks that it has: what is
missing twice in a row was lost on the way. Tasks of the queue group are with nobody known: see `dispatcher.unclaimed`.
"""

import math
from collections.abc import Callable, Collection
from typing import Final

import msgspec

from bus.names import ANY_WORKER
from dispatcher.unclaimed import ASK_AFTER_S, Unclaimed, UnclaimedTasks

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
    """Nobody has the task, and nobody will answer it; `worker_id` is empty where it is not known who had it."""

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
        self._unclaimed = UnclaimedTasks()

    def __bool__(self) -> bool:
        return bool(self._debtors) or bool(self._unclaimed)

    @property
    def interval_s(self) -> float:
        """When `round` is to be called next: sooner while nobody knows who owes what."""
        return ASK_AFTER_S if self._unclaimed else INTERVAL_S

    def sent(self, now: float, token: int, worker_id: str) -> None:
        """A task went to this worker, or with `ANY_WORKER` to the queue group."""
        if worker_id == ANY_WORKER:
            self._unclaimed.sent(now, token)
        else:
            self._owe(now, token, worker_id, _Debt(now, direct=True))

    def settled(self, token: int) -> None:
        """It was answered, one way or the other."""
        worker_id = self._debtor_of.pop(token, None)
        if worker_id is None:
            self._unclaimed.take(token)
        else:
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
        self._unclaimed.excuse(now)

    def gone(self, worker_id: str) -> list[Lost]:
        """The worker is gone. Named are the tasks that the queue group gave it; those sent to it are known."""
        lost = _lost(self._unclaimed.gone(worker_id))
        debtor = self._debtors.pop(worker_id, None)
        for token, debt in debtor.debts.items() if debtor is not None else ():
            del self._debtor_of[token]
            if not debt.direct:
                lost.append(Lost(token=token, worker_id=worker_id))
        return lost

    def told(self, now: float, worker_id: str, asked_at: float, owed: Collection[int]) -> list[Lost]:
        """The worker answered what was asked at `asked_at`, and has these tasks."""
        for token in owed if self._unclaimed else ():
            task = self._unclaimed.take(token)
            if task is not None:
                self._owe(now, token, worker_id, _Debt(task.sent_at, direct=False))
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
        return lost + _lost(self._unclaimed.told(worker_id, asked_at))

    def round(self, now: float, known: Callable[[], Collection[str]] = tuple) -> list[Ask | Hangs | Lost]:
        """What is to be done now; call it every `interval_s`. `known` are the workers that would be missed."""
        todo: list[Ask | Hangs | Lost] = []
        for worker_id, debtor in self._debtors.items():
            if debtor.asked_at > debtor.heard_at and now - debtor.heard_at > SILENCE_S:
                todo.append(Hangs(worker_id=worker_id, silent_s=now - debtor.heard_at))
            elif self._is_to_be_asked(now, debtor):
                debtor.asked_at = now
                todo.append(Ask(worker_id))
        if self._unclaimed:
            todo += _lost(self._unclaimed.overdue(now, SILENCE_S))
            todo += [Ask(worker_id) for worker_id in self._unclaimed.silent()]
            if self._unclaimed.ask(now, known):
                todo.append(Ask(ANY_WORKER))
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


def _lost(tasks: dict[int, Unclaimed]) -> list[Lost]:
    return [Lost(token=token, worker_id=task.suspect) for token, task in tasks.items()]
