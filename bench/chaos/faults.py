"""The faults of a chaos run: which part, which kind, and for how long. Pure code."""

import random
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

Kind = Literal["kill", "stop", "hang", "partition"]

AWAY_S: Final = (0.3, 3.0)
"""Shortest and longest time between the end of a part and its next start."""
HANG_S: Final = (1.0, 8.0)
"""Shortest and longest time of a hang or a partition."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One fault of one part.

    `kill` is SIGKILL and `stop` SIGTERM, each followed by a start after `length_s`; `hang` is SIGSTOP for `length_s`;
    `partition` leaves the connection to NATS open but lets nothing through for `length_s`.
    """

    kind: Kind
    part: str
    length_s: float


class DoneFault(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that happened; times are seconds since the load began."""

    kind: Kind
    part: str
    began: float
    ended: float


def choose(rng: random.Random, parts: Sequence[str]) -> Fault:
    """Choose the next fault: a part, then a kind that can happen to it."""
    part = rng.choice(parts)
    kinds: tuple[Kind, ...] = ("kill", "hang") if part == "nats" else ("kill", "stop", "hang", "partition")
    kind = rng.choice(kinds)
    least, most = HANG_S if kind in ("hang", "partition") else AWAY_S
    return Fault(kind=kind, part=part, length_s=round(rng.uniform(least, most), 1))
