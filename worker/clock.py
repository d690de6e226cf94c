"""Deadlines of senders whose clocks differ from this one.

A task carries its deadline and the time of sending, both by its sender's clock. The worker keeps, for each sender,
the least recent difference between its own clock on arrival and the time of sending: the difference of the clocks
plus the shortest time of transport. Deadlines are moved by that difference. So clocks may be minutes apart, and a
message that was delayed (in a buffer, while NATS was away) is known to be late once another message was not.

Differences older than one to two minutes are forgotten. Otherwise a clock that is set back would make every later
message look late for ever. Clocks that drift, or are slewed by NTP, need no rule of their own.
"""

from collections import OrderedDict
from typing import Final

import msgspec

MAX_SENDERS: Final = 64
FORGET_MS: Final = 60_000


class _Least(msgspec.Struct):
    """The least difference of the last whole period and of the one that began at `began_ms`."""

    before: float
    now: float
    began_ms: int


class SenderClocks:
    """The difference between this clock and each sender's. Times are Unix milliseconds."""

    def __init__(self) -> None:
        self._senders: OrderedDict[str, _Least] = OrderedDict()

    def deadline_here(self, sender: str, *, deadline_ms: int, sent_ms: int, now_ms: int) -> float:
        """Return a sender's deadline by this clock. Without a time of sending the clocks are taken to agree."""
        if not sent_ms:
            return deadline_ms
        return deadline_ms + self._offset_ms(sender, sent_ms, now_ms)

    def _offset_ms(self, sender: str, sent_ms: int, now_ms: int) -> float:
        seen = float(now_ms - sent_ms)
        least = self._senders.get(sender)
        if least is None:
            least = self._senders[sender] = _Least(seen, seen, now_ms)
            if len(self._senders) > MAX_SENDERS:
                self._senders.popitem(last=False)
            return seen
        self._senders.move_to_end(sender)
        age_ms = now_ms - least.began_ms
        if age_ms >= FORGET_MS:
            least.before = least.now if age_ms < 2 * FORGET_MS else seen
            least.now, least.began_ms = seen, now_ms
        if seen < least.now:
            least.now = seen
        return min(least.now, least.before)
