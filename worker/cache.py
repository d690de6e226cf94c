"""What a worker holds and what it gives up: plain code, with time (seconds) as an argument.

    (absent) --acquire--> LOADING --loaded--> READY --acquire of another label--> UNLOADING --unloaded--> (absent)
        └--acquire, no room--> WAITING --its victim unloaded--> LOADING --load_failed--> (absent)

Invariants: at most `capacity` labels are loading, ready or unloading together, so there is never a moment with more
of them in memory; a label in use is never given up; one label is loaded by one caller, whom the others join.

Which label goes: the one that is cheapest to lose, its rate of use times what it costs to load again (ROUTING: worth
2.6 times when load times differ, and as good as LRU when they do not). The dispatcher sees all workers and may
propose one (a label that others hold too is cheap to lose); a proposal is followed unless the label is in use.
"""

import enum
import math
from typing import Final

import msgspec

HALF_LIFE_S: Final = 120.0
"""A use counts half after this long: long enough to know a label's rate, short enough to follow a shift."""


class State(enum.Enum):
    """Of a label in the cache."""

    WAITING = "waiting"
    LOADING = "loading"
    READY = "ready"
    UNLOADING = "unloading"


class Hit(msgspec.Struct, frozen=True):
    """The label is ready and now in use by the caller, who must `release` it with this lease."""

    lease: int


class Join(msgspec.Struct, frozen=True):
    """Someone is loading the label; the caller is counted as its user, and must `release` it if the load succeeds."""

    lease: int


class Load(msgspec.Struct, frozen=True):
    """The caller must unload `evict` (if any), load the label, and say `loaded` or `load_failed`.

    It is counted as a user, and must `release` the label after a successful load.
    """

    evict: str | None
    lease: int


class Full(msgspec.Struct, frozen=True):
    """No room, and everything held is in use or on its way: try again after the next change."""


Acquired = Hit | Join | Load | Full


class Held(msgspec.Struct):
    """One label in the cache."""

    label: str
    state: State
    lease: int
    """Of this stay in the cache: a label that was lost and taken up again is another stay, with users of its own."""
    users: int = 0
    load_ms: float = 0.0
    since: float = 0.0
    uses: float = 0.0
    used_at: float = 0.0
    expired: bool = False
    """Its files changed: it goes when its users have gone, and nobody new comes."""

    def used(self, now: float) -> None:
        """Count one use."""
        self.uses = self._decayed(now) + 1.0
        self.used_at = now

    def value(self, now: float) -> tuple[float, float]:
        """What losing the label would cost: uses weighed by age, times load time; ties go to the least recent."""
        return self._decayed(now) * max(self.load_ms, 1.0), self.used_at

    def _decayed(self, now: float) -> float:
        return self.uses * math.exp2((self.used_at - now) / HALF_LIFE_S)


class LabelCache:
    """The labels of one worker, at most `capacity` of them."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError("a worker holds at least one label")
        self.capacity: Final = capacity
        self._held: dict[str, Held] = {}
        self._listing: tuple[tuple[str, ...], tuple[str, ...]] | None = None
        self._leases = 0

    def acquire(self, now: float, label: str, *, evict_hint: str = "") -> Acquired:
        """Use a label, or be told what must be done first."""
        held = self._held.get(label)
        if held is not None and (held.state is State.UNLOADING or held.expired):
            return Full()
        if held is not None:
            held.users += 1
            held.used(now)
            return Hit(held.lease) if held.state is State.READY else Join(held.lease)
        if self.in_memory() < self.capacity:
            return Load(None, self._begin(now, label, State.LOADING))
        victim = self._victim(now, evict_hint)
        if victim is None:
            return Full()
        self._move(victim, State.UNLOADING)
        return Load(victim.label, self._begin(now, label, State.WAITING))

    def unloaded(self, evicted: str, label: str) -> None:
        """`evicted` is out of memory; `label`, for which it went, is loading from now on."""
        assert self._held[evicted].state is State.UNLOADING
        assert self._held[label].state is State.WAITING
        self._remove(evicted)
        self._move(self._held[label], State.LOADING)

    def loaded(self, now: float, label: str, load_ms: float) -> None:
        """The label is ready for its users, and took `load_ms` to load."""
        held = self._held[label]
        held.load_ms, held.since = load_ms, now
        self._move(held, State.READY)

    def load_failed(self, label: str) -> None:
        """The label is not held after all; its users have none to release."""
        self._remove(label)

    def kept(self, label: str) -> bool:
        """A label that was to go for another is not given up after all: it is ready as before.

        True: its files have changed meanwhile; the caller must unload it now and say `dropped`.
        """
        held = self._held[label]
        assert held.state is State.UNLOADING
        self._move(held, State.READY)
        return self._begin_drop(held)

    def release(self, label: str, lease: int) -> bool:
        """One user less. A label that was lost meanwhile is no error, also if others have taken it up again.

        True: its files have changed and it was in use no more; the caller must unload it and say `dropped`.
        """
        held = self._held.get(label)
        if held is None or held.lease != lease:
            return False
        assert held.users > 0
        held.users -= 1
        return self._begin_drop(held)

    def expire(self, label: str) -> bool:
        """The label's files have changed: it is not to be used again before it was loaded anew.

        True: it is in no use; the caller must unload it now and say `dropped`. Else `release` will say so in time.
        """
        held = self._held.get(label)
        if held is None:
            return False
        held.expired = True
        return self._begin_drop(held)

    def dropped(self, label: str) -> None:
        """An expired label is out of memory."""
        assert self._held[label].state is State.UNLOADING
        self._remove(label)

    def forget(self, label: str) -> bool:
        """The runtime lost the label (its process died): it is not held any more. True if it was ready."""
        held = self._held.get(label)
        if held is None or held.state is not State.READY:
            return False
        self._remove(label)
        return True

    def labels(self, *states: State) -> tuple[str, ...]:
        """The labels in these states, in the order in which they were taken up."""
        return tuple(held.label for held in self._held.values() if held.state in states)

    def listing(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The labels that are ready, and those on their way: told with every answer, changed with every load."""
        if self._listing is None:
            self._listing = self.labels(State.READY), self.labels(State.LOADING, State.WAITING)
        return self._listing

    def held(self, label: str) -> Held | None:
        """What is known of a label that is in the cache."""
        return self._held.get(label)

    def in_memory(self) -> int:
        """How many labels take up memory now, or may."""
        return sum(held.state is not State.WAITING for held in self._held.values())

    def _begin_drop(self, held: Held) -> bool:
        if not held.expired or held.users or held.state is not State.READY:
            return False
        self._move(held, State.UNLOADING)
        return True

    def _begin(self, now: float, label: str, state: State) -> int:
        self._leases += 1
        held = self._held[label] = Held(label, state, self._leases, users=1)
        self._listing = None
        held.used(now)
        return held.lease

    def _move(self, held: Held, state: State) -> None:
        held.state = state
        self._listing = None

    def _remove(self, label: str) -> None:
        self._held.pop(label, None)
        self._listing = None

    def _victim(self, now: float, hint: str) -> Held | None:
        idle = [held for held in self._held.values() if held.state is State.READY and held.users == 0]
        for held in idle:
            if held.label == hint:
                return held
        return min(idle, key=lambda held: held.value(now), default=None)
