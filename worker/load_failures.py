"""The labels whose loads failed, and when each may be tried again. Times are monotonic seconds."""

from typing import Final

import msgspec

from bus.backoff import Backoff
from bus.errors import LoadError

PAUSES: Final = Backoff(first_s=1.0, max_s=60.0)
"""Between loads of a label that keeps failing."""


class _Failure(msgspec.Struct, frozen=True):
    times: int
    until: float
    error: LoadError


class LoadFailures:
    """Failures in a row, by label: after each one the label is refused for longer."""

    def __init__(self) -> None:
        self._failures: dict[str, _Failure] = {}

    def check(self, now: float, label: str) -> None:
        """Raise the error of the label's last load as long as it is not to be tried again."""
        failure = self._failures.get(label)
        if failure is not None and now < failure.until:
            raise LoadError(f"{failure.error} (tried {failure.times} times; next in {failure.until - now:.0f} s)")

    def times(self, label: str) -> int:
        """Return how many loads of the label failed in a row."""
        failure = self._failures.get(label)
        return 0 if failure is None else failure.times

    def add(self, now: float, label: str, error: LoadError) -> float:
        """Count one more failure; return the seconds until the label may be tried again."""
        times = self.times(label) + 1
        pause_s = PAUSES.delay_s(times)
        self._failures[label] = _Failure(times, now + pause_s, error)
        return pause_s

    def forget(self, label: str) -> None:
        """Let the label be tried at once: its load worked, or its files have changed."""
        self._failures.pop(label, None)
