"""Heartbeats of the known workers: which of them are overdue. Pure: time comes as an argument.

The registry drops a worker's key by its TTL, three heartbeats after the last write. A key that was written without a
TTL, by another tool or restored from a backup, would stay for ever, and so would a worker that is known from a state
alone and never wrote a key. So each worker is expected to write its key, and one that has not for three heartbeats is
to be pinged: one that is there answers, of one that is not the server says "no responders" at once.

An entry tells its worker's heartbeat. Where none is told, by a foreign tool or in a state, the default of workers is
assumed: if that is wrong, it costs a ping every few seconds.
"""

import math
from collections.abc import Collection
from typing import Final

import msgspec

from bus.registration import DEFAULT_HEARTBEAT_S, TTL_HEARTBEATS

CHECK_INTERVAL_S: Final = 1.0
"""Between two looks for overdue workers."""

FIRST_PING_S: Final = 1.0
"""The longest time until a new worker is pinged: its entry may be a leftover of one that is not there any more."""

MOST_AT_ONCE: Final = 100
"""Workers that are pinged after one look: in a large pool all of them would keep the event loop busy for 50 ms."""


class _Expected(msgspec.Struct):
    due_at: float
    period_s: float


class Heartbeats:
    """The times by which workers are expected to write their keys, in seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._expected: dict[str, _Expected] = {}
        self._checked_at = -math.inf

    def record(self, now: float, worker_id: str, heartbeat_s: float = 0.0) -> None:
        """Note an entry of the worker, which tells that it is written every `heartbeat_s`; 0 if it does not tell."""
        period_s = TTL_HEARTBEATS * (heartbeat_s or DEFAULT_HEARTBEAT_S)
        is_new = worker_id not in self._expected
        self._expected[worker_id] = _Expected(now + min(period_s, FIRST_PING_S if is_new else math.inf), period_s)

    def is_check_due(self, now: float) -> bool:
        """Return whether it is time to call `take_overdue`."""
        return now - self._checked_at >= CHECK_INTERVAL_S

    def take_overdue(self, now: float, known: Collection[str]) -> list[str]:
        """Return the known workers to be pinged now; each is due again after another three heartbeats."""
        self._checked_at = now
        for worker_id in self._expected.keys() - set(known):
            del self._expected[worker_id]
        overdue: list[str] = []
        for worker_id in known:
            expected = self._expected.get(worker_id)
            if expected is None:  # known from a state, which is a sign of life
                period_s = TTL_HEARTBEATS * DEFAULT_HEARTBEAT_S
                self._expected[worker_id] = _Expected(now + period_s, period_s)
            elif expected.due_at <= now and len(overdue) < MOST_AT_ONCE:
                expected.due_at = now + expected.period_s
                overdue.append(worker_id)
        return overdue
