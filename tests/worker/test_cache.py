"""The label cache, whatever comes in whatever order."""

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from worker.cache import Full, Hit, Join, LabelCache, Load, State

LABELS = st.sampled_from("abcdef")


class CacheMachine(RuleBasedStateMachine):
    """A worker that does what the cache tells it, in any order that a real one could, and counts for itself."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.memory: set[str] = set()
        """Labels that a runtime would hold: from the beginning of a load to the end of an unload, or to its loss."""
        self.pending: dict[str, str | None] = {}
        """Labels under way, each with what must be unloaded first."""
        self.leases: list[tuple[str, int]] = []
        self.users: dict[int, int] = {}
        self.ready: set[int] = set()
        self.lease_of: dict[str, int] = {}
        self.expired: set[int] = set()
        """Stays whose files have changed."""
        self.dropping: set[str] = set()
        self.closed: set[int] = set()
        """Stays that are to have no new users for now."""

    @initialize(capacity=st.integers(1, 4))
    def start(self, capacity: int) -> None:
        self.cache = LabelCache(capacity)

    @rule(label=LABELS, hint=LABELS | st.just(""), later=st.floats(0, 600))
    def acquire(self, label: str, hint: str, later: float) -> None:
        self.now += later
        was = self.cache.held(label)
        free = {held.label for held in map(self.cache.held, self.cache.labels(State.READY)) if held and not held.users}
        cheapest = min(free, key=lambda name: self.value(name), default=None)
        room = len(self.memory) < self.cache.capacity
        match self.cache.acquire(self.now, label, evict_hint=hint):
            case Hit(lease):
                assert was is not None
                assert lease not in self.expired, "used although its files have changed"
                assert lease not in self.closed, "used although it is closed"
                assert label in self.memory
                assert lease == self.lease_of[label]
                assert lease in self.ready
                self.used(label, lease)
            case Join(lease):
                assert label in self.pending, "nobody to wait for"
                assert lease == self.lease_of[label]
                self.used(label, lease)
            case Load(evict, lease):
                assert was is None, "a second load of one label"
                assert label not in self.pending
                assert lease not in self.users
                if evict is None:
                    assert room
                    self.memory.add(label)
                else:
                    assert not room, "evicted without need"
                    assert evict in free, "evicted while in use"
                    assert evict == (hint if hint in free else cheapest)
                self.pending[label] = evict
                self.lease_of[label] = lease
                self.used(label, lease)
            case Full():
                barred = was is not None and (
                    was.state is State.UNLOADING or was.lease in self.expired or was.lease in self.closed
                )
                assert barred or (was is None and not room and not free)

    def value(self, label: str) -> tuple[float, float]:
        held = self.cache.held(label)
        assert held is not None
        return held.value(self.now)

    def used(self, label: str, lease: int) -> None:
        self.leases.append((label, lease))
        self.users[lease] = self.users.get(lease, 0) + 1

    @precondition(lambda self: any(self.pending.values()))
    @rule(data=st.data())
    def unload(self, data: st.DataObject) -> None:
        label = data.draw(st.sampled_from(sorted(name for name, evict in self.pending.items() if evict)))
        evict = self.pending[label]
        assert evict is not None
        self.cache.unloaded(evict, label)
        self.memory.discard(evict)
        self.memory.add(label)
        self.pending[label] = None

    @precondition(lambda self: any(self.pending.values()))
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        """The label that another was to go for does not exist."""
        label = data.draw(st.sampled_from(sorted(name for name, evict in self.pending.items() if evict)))
        evict = self.pending.pop(label)
        assert evict is not None
        self.cache.kept(evict)
        self.drop_expired()
        self.cache.load_failed(label)
        lease = self.lease_of[label]
        self.leases = [used for used in self.leases if used != (label, lease)]
        self.users[lease] = 0

    def drop_expired(self) -> None:
        ready = [held for label in self.cache.labels(State.READY) if (held := self.cache.held(label))]
        due = {held.label for held in ready if held.lease in self.expired and not held.users}
        assert set(self.cache.drop_expired()) == due
        assert due <= set(self.cache.labels(State.UNLOADING))
        self.dropping |= due

    @rule(label=LABELS)
    def expire(self, label: str) -> None:
        held = self.cache.held(label)
        if held is not None:
            self.expired.add(held.lease)
        self.cache.expire(label)
        assert held is None or label in self.cache.expired
        self.drop_expired()

    @rule(hint=LABELS | st.just(""))
    def close(self, hint: str) -> None:
        barred = self.expired | self.closed
        ready = [held for label in self.cache.labels(State.READY) if (held := self.cache.held(label))]
        free = [held.label for held in ready if held.lease not in barred]
        closed = self.cache.close(self.now, hint=hint)
        assert closed == (hint if hint in free else min(free, key=self.value, default=""))
        if closed:
            self.closed.add(self.lease_of[closed])

    @rule(label=LABELS)
    def reopen(self, label: str) -> None:
        self.cache.reopen(label)
        self.closed.discard(self.lease_of.get(label, 0))

    @precondition(lambda self: self.dropping)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        label = data.draw(st.sampled_from(sorted(self.dropping)))
        self.cache.dropped(label)
        self.dropping.discard(label)
        self.memory.discard(label)

    @precondition(lambda self: None in self.pending.values())
    @rule(data=st.data(), load_ms=st.floats(0, 10_000), fails=st.booleans())
    def load(self, data: st.DataObject, load_ms: float, fails: bool) -> None:
        label = data.draw(st.sampled_from(sorted(name for name, evict in self.pending.items() if evict is None)))
        del self.pending[label]
        lease = self.lease_of[label]
        if fails:
            self.cache.load_failed(label)
            self.memory.discard(label)
            self.leases = [used for used in self.leases if used != (label, lease)]
            self.users[lease] = 0
        else:
            self.cache.loaded(self.now, label, load_ms)
            self.ready.add(lease)

    @precondition(lambda self: any(lease in self.ready for _, lease in self.leases))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        label, lease = used = data.draw(st.sampled_from([use for use in self.leases if use[1] in self.ready]))
        self.leases.remove(used)
        self.users[lease] -= 1
        self.cache.release(label, lease)
        self.drop_expired()

    @rule(label=LABELS)
    def forget(self, label: str) -> None:
        was_ready = label in self.cache.labels(State.READY)
        before = self.cache.labels(*State)
        self.cache.forget(label)
        if was_ready:
            self.memory.discard(label)
            assert self.cache.held(label) is None
        else:
            assert self.cache.labels(*State) == before

    @invariant()
    def memory_is_bounded(self) -> None:
        if hasattr(self, "cache"):
            assert len(self.memory) <= self.cache.capacity
            assert self.cache.in_memory() == len(self.memory)

    @invariant()
    def users_are_counted(self) -> None:
        for label in "abcdef" if hasattr(self, "cache") else "":
            held = self.cache.held(label)
            if held is not None:
                assert held.users == self.users[held.lease]


TestCache = CacheMachine.TestCase
TestCache.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def holding(capacity: int, **uses: tuple[int, float]) -> LabelCache:
    """A cache that holds these labels, each used so often, each with its load time in ms, idle at second 100."""
    cache = LabelCache(capacity)
    for label, (count, load_ms) in uses.items():
        take(cache, 0.0, label, load_ms)
        for _ in range(count - 1):
            take(cache, 100.0, label, load_ms)
    return cache


def take(cache: LabelCache, now: float, label: str, load_ms: float = 100.0) -> None:
    acquired = cache.acquire(now, label)
    assert isinstance(acquired, Hit | Load)
    if isinstance(acquired, Load):
        assert acquired.evict is None
        cache.loaded(now, label, load_ms)
    cache.release(label, acquired.lease)


@pytest.mark.parametrize(
    ("held", "hint", "goes"),
    [
        pytest.param({"a": (5, 100), "b": (1, 100)}, "", "b", id="the one that is used less"),
        pytest.param({"a": (2, 100), "b": (2, 1000)}, "", "a", id="the one that loads faster"),
        pytest.param({"a": (9, 100), "b": (2, 1000)}, "", "a", id="rate times load time"),
        pytest.param({"a": (1, 0), "b": (1, 0.5)}, "", "a", id="loads that take no time: the older"),
        pytest.param({"a": (5, 1000), "b": (1, 100)}, "a", "a", id="the proposal before all"),
        pytest.param({"a": (5, 100), "b": (1, 100)}, "x", "b", id="a proposal that is not held"),
    ],
)
def test_what_is_cheapest_to_lose_goes(held, hint, goes):
    acquired = holding(2, **held).acquire(200.0, "new", evict_hint=hint)
    assert isinstance(acquired, Load)
    assert acquired.evict == goes


def test_a_use_counts_for_less_as_time_passes():
    cache = holding(2, old=(20, 100), new=(1, 100))
    take(cache, 2000.0, "new")
    acquired = cache.acquire(2000.0, "other")
    assert isinstance(acquired, Load)
    assert acquired.evict == "old"


def test_a_hit_is_only_for_a_label_that_is_ready():
    cache = LabelCache(2)
    assert cache.hit(0.0, "a") is None
    loading = cache.acquire(0.0, "a")
    assert isinstance(loading, Load)
    assert cache.hit(0.0, "a") is None
    cache.loaded(0.0, "a", 10)
    assert cache.hit(1.0, "a") == Hit(loading.lease)
    held = cache.held("a")
    assert held is not None
    assert held.users == 2
    cache.expire("a")
    assert cache.hit(1.0, "a") is None


def test_a_closed_label_gets_no_new_users_until_it_is_opened_again():
    cache = holding(2, a=(1, 100), b=(9, 100))
    assert isinstance(cache.acquire(200.0, "a"), Hit)
    assert cache.close(200.0) == "a", "the cheapest to lose, although it is in use"
    assert (cache.hit(200.0, "a"), cache.acquire(200.0, "a")) == (None, Full())
    assert (cache.close(200.0), cache.close(200.0)) == ("b", ""), "one after the other, and no more than there are"
    cache.reopen("a")
    assert isinstance(cache.acquire(200.0, "a"), Hit)
    cache.reopen("unheard of")


def test_a_proposal_in_use_is_not_followed():
    cache = holding(2, a=(1, 100), b=(9, 100))
    assert isinstance(cache.acquire(200.0, "a"), Hit)
    acquired = cache.acquire(200.0, "new", evict_hint="a")
    assert isinstance(acquired, Load)
    assert acquired.evict == "b"


def test_a_label_lost_in_use_and_loaded_again_is_not_released_by_its_first_user():
    cache = LabelCache(1)
    first = cache.acquire(0.0, "a")
    assert isinstance(first, Load)
    cache.loaded(0.0, "a", 10)
    cache.forget("a")
    second = cache.acquire(1.0, "a")
    assert isinstance(second, Load)
    cache.loaded(1.0, "a", 10)
    cache.release("a", first.lease)
    assert cache.acquire(1.0, "b") == Full(), "its second user still has it"
    cache.release("a", second.lease)
    assert isinstance(cache.acquire(1.0, "b"), Load)


def test_a_cache_for_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        LabelCache(0)
