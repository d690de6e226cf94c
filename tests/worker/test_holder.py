"""Labels held for tasks: loaded once, whoever asks, and never more than fit."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from bus.errors import LabelbusError, LoadError, RuntimeUnavailableError, UnavailableError, UnknownModelError
from worker.cache import LabelCache, State
from worker.holder import LabelHolder, Use
from worker.runtimes.simulated import SimulatedRuntime

DEADLINE_S = 30


class StubbornRuntime(SimulatedRuntime):
    """Loads when it is let, fails as it is told, and keeps count of what it has in memory."""

    def __init__(self) -> None:
        super().__init__(0)
        self.memory: set[str] = set()
        self.most = 0
        self.loads: list[str] = []
        self.unloads: list[str] = []
        self.failures: dict[str, BaseException] = {}
        self.unload_failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.unload_gate = asyncio.Event()
        self.unload_gate.set()
        self.absent: set[str] = set()

    async def check(self, label: str) -> None:
        if label in self.absent:
            raise UnknownModelError(f"there is no {label}")

    async def load(self, label: str) -> None:
        assert label not in self.memory, f"{label} is loaded already"
        self.loads.append(label)
        self.memory.add(label)
        self.most = max(self.most, len(self.memory))
        await self.gate.wait()
        await asyncio.sleep(0)
        if label in self.failures:
            self.memory.discard(label)
            raise self.failures[label]

    async def unload(self, label: str) -> None:
        await self.unload_gate.wait()
        self.unloads.append(label)
        self.memory.discard(label)
        if self.unload_failure is not None:
            raise self.unload_failure


class Bench:
    def __init__(self, tasks: asyncio.TaskGroup, capacity: int) -> None:
        self.tasks = tasks
        self.runtime = StubbornRuntime()
        self.cache = LabelCache(capacity)
        self.changes = 0
        self.announced: list[str] = []
        self.holder = LabelHolder(
            self.cache, self.runtime, tasks, on_load=self.announced.append, on_change=self._changed
        )

    def _changed(self) -> None:
        self.changes += 1

    def user(self, label: str, until: asyncio.Event | None = None, *, hint: str = "") -> "User":
        return User(self, label, until, hint)

    async def use_once(self, label: str) -> Use:
        return await asyncio.wait_for(self.user(label, done()).task, DEADLINE_S)


class User:
    """A task that uses a label until it is told to stop."""

    def __init__(self, bench: Bench, label: str, until: asyncio.Event | None, hint: str) -> None:
        self.holding = asyncio.Event()
        self.stop = until or asyncio.Event()
        self.task = asyncio.ensure_future(self._run(bench, label, hint))

    async def _run(self, bench: Bench, label: str, hint: str) -> Use:
        with await bench.holder.acquire(label, evict_hint=hint) as use:
            assert label in bench.runtime.memory
            self.holding.set()
            await self.stop.wait()
        return use

    async def holds(self) -> None:
        await asyncio.wait_for(self.holding.wait(), DEADLINE_S)

    async def end(self) -> Use:
        self.stop.set()
        return await asyncio.wait_for(self.task, DEADLINE_S)


def done() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


MakeBench = Callable[[int], Bench]


@pytest.fixture
async def make_bench() -> AsyncIterator[MakeBench]:
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        yield lambda capacity: Bench(tasks, capacity)


async def settled() -> None:
    """Let everything that can happen without a gate happen."""
    for _ in range(20):
        await asyncio.sleep(0)


async def failure(awaitable: Awaitable[Any]) -> LabelbusError:
    with pytest.raises(LabelbusError) as caught:
        await asyncio.wait_for(awaitable, DEADLINE_S)
    return caught.value


async def test_many_who_want_one_label_wait_for_one_load(make_bench):
    bench = make_bench(2)
    bench.runtime.gate.clear()
    users = [bench.user("a", done()) for _ in range(20)]
    await settled()
    assert bench.cache.labels(State.LOADING) == ("a",)
    bench.runtime.gate.set()
    uses = [await user.end() for user in users]
    assert bench.runtime.loads == ["a"]
    assert bench.announced == ["a"]
    assert not any(use.hit for use in uses)
    assert [use.joined for use in uses] == [False, *[True] * 19]
    again = await bench.use_once("a")
    assert (again.hit, again.joined) == (True, False)


async def test_a_hit_does_not_wait_for_anothers_load(make_bench):
    bench = make_bench(2)
    await bench.use_once("a")
    bench.runtime.gate.clear()
    other = bench.user("b")
    await settled()
    assert (await bench.use_once("a")).hit
    assert not other.holding.is_set()
    bench.runtime.gate.set()
    await other.end()


async def test_who_goes_away_while_waiting_gives_up_its_use_and_disturbs_nobody(make_bench):
    bench = make_bench(1)
    bench.runtime.gate.clear()
    first, second, third = (bench.user("a") for _ in range(3))
    await settled()
    first.task.cancel()
    second.task.cancel()
    await asyncio.gather(first.task, second.task, return_exceptions=True)
    bench.runtime.gate.set()
    await third.holds()
    held = bench.cache.held("a")
    assert held is not None
    assert held.users == 1
    assert not (await third.end()).hit
    assert (await bench.use_once("b")).evicted == "a", "nobody is thought to use it any more"


async def test_a_load_that_nobody_waits_for_any_more_is_finished_and_kept(make_bench):
    bench = make_bench(1)
    bench.runtime.gate.clear()
    only = bench.user("a")
    await settled()
    only.task.cancel()
    await asyncio.gather(only.task, return_exceptions=True)
    bench.runtime.gate.set()
    await settled()
    assert (await bench.use_once("a")).hit
    assert (await bench.use_once("b")).evicted == "a"


async def test_a_load_that_fails_fails_for_all_and_backs_off(make_bench):
    bench = make_bench(1)
    bench.runtime.failures["a"] = LoadError("the graph is broken")
    bench.runtime.gate.clear()
    users = [bench.user("a") for _ in range(3)]
    await settled()
    bench.runtime.gate.set()
    for user in users:
        assert "the graph is broken" in str(await failure(user.task))
    del bench.runtime.failures["a"]
    again = await failure(bench.user("a").task)
    assert isinstance(again, LoadError)
    assert "the graph is broken (tried 1 times; next in" in str(again)
    assert bench.runtime.loads == ["a"], "tried once"
    assert (await bench.use_once("b")).evicted == "", "its room is free, and others are not disturbed"


async def test_the_pause_between_tries_doubles_and_ends_with_a_load_that_works(make_bench, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("worker.holder.time.monotonic", lambda: now[0])
    bench = make_bench(1)
    bench.runtime.failures["a"] = LoadError("no")
    pauses = []
    for _ in range(9):
        tries = len(bench.runtime.loads)
        before = now[0]
        while len(bench.runtime.loads) == tries:
            await failure(bench.user("a").task)
            now[0] += 0.5
        pauses.append(now[0] - 0.5 - before)
    assert pauses[1:] == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 59.5, 59.5]
    bench.runtime.failures.clear()
    now[0] += 60
    await bench.use_once("a")
    bench.holder.lost(frozenset({"a"}))
    bench.runtime.memory.clear()
    bench.runtime.failures["a"] = LoadError("no")
    await failure(bench.user("a").task)
    now[0] += 1.01
    await failure(bench.user("a").task)
    assert bench.runtime.loads[-2:] == ["a", "a"], "the first pause again"


@pytest.mark.parametrize(
    "error", [UnknownModelError("no such model"), RuntimeUnavailableError("away")], ids=["unknown model", "away"]
)
async def test_what_another_try_may_find_mended_is_tried_at_once(make_bench, error):
    bench = make_bench(1)
    bench.runtime.failures["a"] = error
    assert await failure(bench.user("a").task) is error
    bench.runtime.failures.clear()
    assert not (await bench.use_once("a")).hit


@pytest.mark.parametrize("error", [ValueError("surprise"), UnavailableError("surprise")], ids=["any", "another"])
async def test_a_surprise_while_loading_becomes_a_load_error(make_bench, error):
    bench = make_bench(1)
    bench.runtime.failures["a"] = error
    caught = await failure(bench.user("a").task)
    assert type(caught) is LoadError
    assert "loading a failed: surprise" in str(caught)


async def test_who_finds_everything_in_use_waits_for_the_first_to_end(make_bench):
    bench = make_bench(2)
    a, b = bench.user("a"), bench.user("b")
    await a.holds()
    await b.holds()
    c = bench.user("c")
    await settled()
    assert not c.holding.is_set()
    assert bench.runtime.unloads == []
    await b.end()
    await c.holds()
    assert (await c.end()).evicted == "b"
    await a.end()


async def test_a_label_that_is_always_in_use_makes_room_for_one_that_has_waited_long(make_bench, monkeypatch):
    monkeypatch.setattr("worker.holder.ROOM_PATIENCE_S", 0.05)
    bench = make_bench(1)
    current = bench.user("a")
    await current.holds()
    third = bench.user("c", done())
    while not third.task.done():
        following = bench.user("a")  # it comes before the other goes: without more, there is never room
        await settled()
        await current.end()
        current = following
    assert (await third.end()).evicted == "a"
    assert (await current.end()).evicted == "c"


async def test_a_label_that_was_closed_for_a_task_that_is_gone_is_used_again(make_bench, monkeypatch):
    monkeypatch.setattr("worker.holder.ROOM_PATIENCE_S", 0.0)
    bench = make_bench(1)
    user = bench.user("a")
    await user.holds()
    third = bench.user("c")
    await settled()
    waiting = bench.user("a")
    await settled()
    assert not waiting.holding.is_set(), "closed for the third"
    third.task.cancel()
    await waiting.holds()
    await asyncio.gather(user.end(), waiting.end())


async def test_a_label_that_is_being_unloaded_is_loaded_again_afterwards(make_bench):
    bench = make_bench(1)
    await bench.use_once("a")
    bench.runtime.unload_gate.clear()
    b, a = bench.user("b"), bench.user("a")
    await settled()
    assert bench.cache.labels(State.UNLOADING) == ("a",)
    bench.runtime.unload_gate.set()
    await b.end()
    assert (await a.end()).evicted == "b"
    assert bench.runtime.loads == ["a", "b", "a"]


async def test_the_proposal_of_the_dispatcher_is_followed(make_bench):
    bench = make_bench(2)
    for label in ("a", "a", "b"):
        await bench.use_once(label)
    use = await bench.user("c", done(), hint="a").end()
    assert use.evicted == "a"


@pytest.mark.parametrize("error", [UnavailableError("away"), OSError("gone")], ids=["known", "surprise"])
async def test_an_unload_that_fails_costs_no_room(make_bench, error):
    bench = make_bench(1)
    await bench.use_once("a")
    bench.runtime.unload_failure = error
    assert (await bench.use_once("b")).evicted == "a"
    assert (await bench.use_once("a")).evicted == "b"


async def test_lost_labels_are_loaded_again(make_bench):
    bench = make_bench(2)
    for label in ("a", "b"):
        await bench.use_once(label)
    changes = bench.changes
    bench.runtime.memory.clear()
    bench.holder.lost(frozenset({"a", "unknown"}))
    assert bench.cache.labels(State.READY) == ("b",)
    assert bench.changes == changes + 1
    assert not (await bench.use_once("a")).hit
    bench.holder.lost(frozenset({"unknown"}))
    assert bench.changes == changes + 3, "nothing was lost: nothing is told"


async def test_a_load_that_cancels_itself_fails_and_makes_room_for_who_waits(make_bench, monkeypatch):
    monkeypatch.setattr("worker.holder.ROOM_PATIENCE_S", 2 * DEADLINE_S)
    bench = make_bench(1)
    bench.runtime.gate.clear()
    bench.runtime.failures["a"] = asyncio.CancelledError()
    first, second = bench.user("a"), bench.user("b", done())
    await settled()
    bench.runtime.gate.set()
    assert isinstance(await failure(first.task), RuntimeUnavailableError)
    assert (await second.end()).evicted == ""


async def test_a_loss_makes_room_for_who_waits(make_bench):
    bench = make_bench(1)
    a = bench.user("a")
    await a.holds()
    b = bench.user("b", done())
    await settled()
    bench.runtime.memory.clear()
    bench.holder.lost(frozenset({"a"}))
    assert (await b.end()).evicted == ""
    await a.end()


async def test_who_used_a_lost_label_does_not_end_the_use_of_the_next(make_bench):
    bench = make_bench(1)
    first = bench.user("a")
    await first.holds()
    bench.runtime.memory.clear()
    bench.holder.lost(frozenset({"a"}))
    second = bench.user("a")
    await second.holds()
    await first.end()
    other = bench.user("b")
    await settled()
    assert not other.holding.is_set(), "a is in use"
    await second.end()
    await other.end()


async def test_at_the_end_who_waits_for_a_load_is_told(make_bench):
    bench = make_bench(1)
    bench.runtime.gate.clear()
    user = bench.user("a")
    await settled()
    bench.holder.close()
    assert isinstance(await failure(user.task), RuntimeUnavailableError)


async def test_never_more_than_the_capacity_is_in_memory_whatever_is_wanted(make_bench):
    bench = make_bench(3)
    bench.runtime.failures["e"] = UnknownModelError("no")
    users = [bench.user("abcdefg"[number * number % 7], done()) for number in range(200)]
    answers = await asyncio.wait_for(asyncio.gather(*(user.task for user in users), return_exceptions=True), DEADLINE_S)
    assert bench.runtime.most == 3
    assert {type(answer) for answer in answers} <= {Use, UnknownModelError}
    assert sum(isinstance(answer, Use) for answer in answers) > 100


async def test_nothing_is_evicted_for_a_model_that_does_not_exist(make_bench):
    bench = make_bench(1)
    bench.runtime.absent.add("nobody")
    await bench.use_once("held")
    assert isinstance(await failure(bench.user("nobody").task), UnknownModelError)
    assert (await bench.use_once("held")).hit
    assert bench.runtime.unloads == []


async def test_a_model_that_was_converted_again_is_loaded_again(make_bench):
    bench = make_bench(2)
    await bench.use_once("model")
    bench.holder.refresh("model")
    assert not (await bench.use_once("model")).hit
    assert bench.runtime.unloads == ["model"]
    assert bench.runtime.most == 1


async def test_a_user_of_a_model_that_is_converted_again_ends_with_the_old_one(make_bench):
    bench = make_bench(2)
    user = bench.user("model")
    await user.holds()
    bench.holder.refresh("model")
    next_one = bench.user("model", done())
    await settled()
    assert bench.runtime.unloads == []
    await user.end()
    assert not (await next_one.end()).hit
    assert bench.runtime.loads == ["model", "model"]


async def test_a_failed_load_may_be_tried_at_once_when_its_model_was_converted_again(make_bench):
    bench = make_bench(1)
    bench.runtime.failures["broken"] = LoadError("half a graph")
    await failure(bench.user("broken").task)
    bench.runtime.failures.clear()
    bench.holder.refresh("broken")
    assert not (await bench.use_once("broken")).hit
