"""The labels that a worker holds and which one it evicts: plain code, with time (seconds) as an argument.

    (absent) --acquire--> LOADING --loaded--> READY --acquire of another label--> UNLOADING --unloaded--> (absent)
        └--acquire, no room--> WAITING --its victim unloaded--> LOADING --load_failed--> (absent)

Invariants: at most `capacity` labels are loading, ready or unloading together, so there is never a moment with more
of them in memory; a label in use is never evicted; one label is loaded by one caller, whom the others join. Any number
of callers may use one label at a time, so `capacity` bounds labels and not callers: a caller without room waits with
nothing in its hands, and every caller with a label can end, so none waits for another in a cycle.

The label that is evicted is the one that is cheapest to lose: its rate of use times the time to load it again
(docs/performance.md, "How the router decides": as good as LRU when load times are equal, 2.6 times as good when they
differ). The dispatcher sees all workers and may propose one (a label that others hold too is cheap to lose); the
proposal is followed unless the label is in use.
"""

import enum
import math
from typing import Final

import msgspec

HALF_LIFE_S: Final = 120.0
"""A use counts half after this long: long enough to know a label's rate, short enough to follow a shift."""


class State(enum.Enum):
    """States of a label in the cache."""

    WAITING = "waiting"
    LOADING = "loading"
    READY = "ready"
    UNLOADING = "unloading"


class Hit(msgspec.Struct, frozen=True):
    """The label is ready and in use by the caller, which must `release` it with this lease."""

    lease: int


class Join(msgspec.Struct, frozen=True):
    """Another caller is loading the label; this one is counted as a user, and must `release` it after the load."""

    lease: int


class Load(msgspec.Struct, frozen=True):
    """The caller must unload `evict` (if any), load the label, and say `loaded` or `load_failed`.

    It is counted as a user, and must `release` the label after a successful load.
    """

    evict: str | None
    lease: int


class Full(msgspec.Struct, frozen=True):
    """No room, and every label is in use, loading or unloading: try again after the next change."""


Acquired = Hit | Join | Load | Full


class Held(msgspec.Struct):
    """One label in the cache."""

    label: str
    state: State
    lease: int
    """Number of this stay in the cache: a label that was lost and loaded again has new users, and a new lease."""
    users: int = 0
    load_ms: float = 0.0
    since: float = 0.0
    uses: float = 0.0
    used_at: float = 0.0
    expired: bool = False
    """Loaded from files that have changed since: closed to new users, and unloaded when the last one has gone."""
    closed: bool = False
    """Loaded, but closed to new users, so that it can be evicted when the last one has gone."""

    def used(self, now: float) -> None:
        """Count one use."""
        self.uses = self._decayed(now) + 1.0
        self.used_at = now

    def value(self, now: float) -> tuple[float, float]:
        """Return the cost of losing the label: uses weighed by age, times load time; ties go to the least recent."""
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
        self.expired: Final[set[str]] = set()
        """Labels whose files have changed, in use or not: after each change of their users `drop_expired` is due."""
        self._listing: tuple[tuple[str, ...], tuple[str, ...]] | None = None
        self._leases = 0

    def hit(self, now: float, label: str) -> Hit | None:
        """Use a label that is ready; None, and nothing done, if `acquire` is needed."""
        held = self._held.get(label)
        if held is None or held.state is not State.READY or held.expired or held.closed:
            return None
        held.users += 1
        held.used(now)
        return Hit(held.lease)

    def acquire(self, now: float, label: str, *, evict_hint: str = "") -> Acquired:
        """Use a label, or return what must be done first."""
        held = self._held.get(label)
        if held is not None and (held.state is State.UNLOADING or held.expired or held.closed):
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
        """Take note that `evicted` is out of memory: `label`, for which it went, is loading from now on."""
        assert self._held[evicted].state is State.UNLOADING
        assert self._held[label].state is State.WAITING
        self._remove(evicted)
        self._move(self._held[label], State.LOADING)

    def loaded(self, now: float, label: str, load_ms: float) -> None:
        """Make the label ready for its users; it took `load_ms` to load."""
        held = self._held[label]
        held.load_ms, held.since = load_ms, now
        self._move(held, State.READY)

    def load_failed(self, label: str) -> None:
        """Forget a label that could not be loaded; its users have nothing to release."""
        self._remove(label)

    def kept(self, label: str) -> None:
        """Make a label ready again that was to be evicted for another, and is not."""
        held = self._held[label]
        assert held.state is State.UNLOADING
        self._move(held, State.READY)

    def release(self, label: str, lease: int) -> None:
        """End a use; no error for a label that was lost meanwhile, even if it has been loaded again since."""
        held = self._held.get(label)
        if held is not None and held.lease == lease:
            assert held.users > 0
            held.users -= 1

    def expire(self, label: str) -> None:
        """Take note that the label's files have changed: it gets no users before it was loaded again."""
        held = self._held.get(label)
        if held is not None:
            held.expired = True
            self.expired.add(label)

    def drop_expired(self) -> tuple[str, ...]:
        """Begin to unload the expired labels that are not in use; the caller must unload these and call `dropped`."""
        idle = [held for label in self.expired if (held := self._held[label]).state is State.READY and not held.users]
        for held in idle:
            self._move(held, State.UNLOADING)
        return tuple(held.label for held in idle)

    def close(self, now: float, *, hint: str = "") -> str:
        """Give the cheapest ready label no new users before `reopen`; return it, or "" if there is none to close."""
        ready = [
            held for held in self._held.values() if held.state is State.READY and not (held.expired or held.closed)
        ]
        held = _cheapest(ready, now, hint)
        if held is None:
            return ""
        held.closed = True
        return held.label

    def reopen(self, label: str) -> None:
        """Let a closed label have new users; no error if it is gone."""
        held = self._held.get(label)
        if held is not None:
            held.closed = False

    def dropped(self, label: str) -> None:
        """Take note that an expired label is out of memory."""
        assert self._held[label].state is State.UNLOADING
        self._remove(label)

    def forget(self, label: str) -> None:
        """Forget a ready label that the runtime lost (its process died); no error for any other."""
        held = self._held.get(label)
        if held is not None and held.state is State.READY:
            self._remove(label)

    def labels(self, *states: State) -> tuple[str, ...]:
        """Return the labels in these states, in the order in which they were acquired."""
        return tuple(held.label for held in self._held.values() if held.state in states)

    def listing(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the labels that are ready, and those that are loading or wait for that. Cheap: every answer asks."""
        if self._listing is None:
            self._listing = self.labels(State.READY), self.labels(State.LOADING, State.WAITING)
        return self._listing

    def held(self, label: str) -> Held | None:
        """Return the cache's record of a label, if it is there."""
        return self._held.get(label)

    def in_memory(self) -> int:
        """Return the number of labels that take up memory now, or may."""
        return sum(held.state is not State.WAITING for held in self._held.values())

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
        self.expired.discard(label)
        self._listing = None

    def _victim(self, now: float, hint: str) -> Held | None:
        idle = [held for held in self._held.values() if held.state is State.READY and held.users == 0]
        return _cheapest(idle, now, hint)


def _cheapest(labels: list[Held], now: float, hint: str) -> Held | None:
    """Return the hinted label if it is among these, else the one that is cheapest to lose."""
    for held in labels:
        if held.label == hint:
            return held
    return min(labels, key=lambda held: held.value(now), default=None)
