"""Deadlines that mean what they say when clocks disagree.

A task carries its deadline and the time of sending, both by its sender's clock. The worker keeps, for each sender,
the least difference between its own clock on arrival and the time of sending: the difference of the clocks plus the
quickest passage seen. A deadline moves by that much. So a clock that is minutes off harms nothing, and a message
that was held up (in a buffer, while NATS was away) is still known to be late, once one message was not.
"""

from collections import OrderedDict
from typing import Final

MAX_SENDERS: Final = 64
DRIFT_PER_S: Final = 1e-4
"""How fast the least difference is allowed to grow: 100 ppm is more than any quartz drifts."""


class SenderClocks:
    """The difference between this clock and each sender's. Times are Unix milliseconds."""

    def __init__(self) -> None:
        self._least: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def deadline_here(self, sender: str, *, deadline_ms: int, sent_ms: int, now_ms: int) -> float:
        """A sender's deadline by this clock. Without a time of sending the clocks are taken to agree."""
        if not sent_ms:
            return deadline_ms
        return deadline_ms + self._offset_ms(sender, sent_ms, now_ms)

    def _offset_ms(self, sender: str, sent_ms: int, now_ms: int) -> float:
        seen = float(now_ms - sent_ms)
        if sender in self._least:
            least, at_ms = self._least.pop(sender)
            seen = min(seen, least + max(0, now_ms - at_ms) * DRIFT_PER_S)
        self._least[sender] = (seen, now_ms)
        if len(self._least) > MAX_SENDERS:
            self._least.popitem(last=False)
        return seen
