"""The growing pauses between attempts at something that keeps failing."""

import math

import msgspec


class Backoff(msgspec.Struct, frozen=True):
    """Pauses that begin with `first_s` seconds, grow by `factor` each time, and never exceed `max_s`."""

    first_s: float
    max_s: float
    factor: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.first_s <= self.max_s or self.factor < 1:
            raise ValueError(f"a backoff needs 0 < first_s <= max_s and factor >= 1, not {self}")

    def delay_s(self, attempt: int) -> float:
        """Return the pause after the failed attempt with this number, in seconds; the first attempt is number 1."""
        if attempt < 1:
            raise ValueError(f"attempts are counted from 1, not {attempt}")
        # Compared as logarithms: a factor to the power of thousands of attempts is no float.
        if (attempt - 1) * math.log(self.factor) >= math.log(self.max_s / self.first_s):
            return self.max_s
        return min(self.max_s, self.first_s * self.factor ** (attempt - 1))
