import asyncio
import contextlib
import json

import pytest

from bus.connection import Bus, connect
from bus.errors import UnavailableError
from bus.messages import HeldLabel, WorkerEntry
from bus.names import MAX_LABEL_CHARS
from bus.owned import end
from bus.registration import Registration, ttl_s
from bus.registry import RegistryWatch, read_entries
from tests.conftest import own_bus
from worker.settings import MAX_CAPACITY

pytestmark = pytest.mark.nats
DEADLINE_S = 30


class Seen:
    """Reports of a watch, to be waited for."""

    def __init__(self, bus: Bus) -> None:
        self.entries: dict[str, WorkerEntry] = {}
        self.gone: list[str] = []
        self.reach: list[bool] = []
        self._changed = asyncio.Event()
        self.watch = RegistryWatch(bus, on_entry=self._entry, on_gone=self._gone, on_reach=self._reach)

    def _entry(self, entry):
        self.entries[entry.worker_id] = entry
        self._changed.set()

    def _gone(self, worker_id):
        self.entries.pop(worker_id)
        self.gone.append(worker_id)
        self._changed.set()

    def _reach(self, reach):
        self.reach.append(reach)
        self._changed.set()

    async def until(self, condition):
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@contextlib.asynccontextmanager
async def running(*coroutines):
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        yield
    finally:
        await end(*tasks)


def registration(bus, worker_id="w1", heartbeat_s=1.0, entry=None):
    return Registration(bus, worker_id, entry or (lambda: WorkerEntry(worker_id=worker_id)), heartbeat_s=heartbeat_s)


async def test_a_watch_sees_workers_that_were_there_and_those_that_come(bus):
    early, late, seen = registration(bus, "early"), registration(bus, "late"), Seen(bus)
    async with running(early.run()):
        await early.registered()
        async with running(seen.watch.run()):
            await seen.watch.synced()
            assert set(seen.entries) == {"early"}
            async with running(late.run()):
                await seen.until(lambda: set(seen.entries) == {"early", "late"})


async def test_a_change_is_seen_and_a_removed_key_is_gone(bus):
    capacity = 1
    me = registration(bus, entry=lambda: WorkerEntry(worker_id="w1", capacity=capacity), heartbeat_s=60)
    seen = Seen(bus)
    async with running(seen.watch.run()):
        async with running(me.run()):
            await seen.until(lambda: "w1" in seen.entries)
            capacity = 7
            me.changed()
            await seen.until(lambda: seen.entries["w1"].capacity == 7)
        await me.remove()
        await seen.until(lambda: seen.gone == ["w1"])


async def test_a_worker_that_stops_beating_expires_and_may_come_back(bus):
    seen = Seen(bus)
    async with running(seen.watch.run()):
        async with running(registration(bus, heartbeat_s=0.3).run()):
            await seen.until(lambda: "w1" in seen.entries)
        await seen.until(lambda: seen.gone == ["w1"])
        async with running(registration(bus, heartbeat_s=0.3).run()):
            await seen.until(lambda: "w1" in seen.entries)


async def test_a_new_process_whose_clock_was_set_back_takes_the_place_of_the_old_one(bus):
    def of(epoch_ms, revision):
        return registration(bus, entry=lambda: WorkerEntry(worker_id="w1", epoch_ms=epoch_ms, revision=revision))

    seen = Seen(bus)
    async with running(seen.watch.run()):
        async with running(of(1000, 8).run()):
            await seen.until(lambda: "w1" in seen.entries)
        async with running(of(400, 0).run()):
            await seen.until(lambda: seen.entries["w1"].epoch_ms == 400)
            assert seen.gone == ["w1"], "whoever orders by epoch would pass over all that the new one says"
        async with running(of(2000, 0).run()):
            await seen.until(lambda: seen.entries["w1"].epoch_ms == 2000)
    assert seen.gone == ["w1"], "a clock that goes forward is told by the epoch alone"


async def test_values_that_are_no_entries_are_counted_and_ignored(bus):
    seen, me = Seen(bus), registration(bus, "good")
    async with running(seen.watch.run()):
        await seen.watch.synced()
        kv = await bus.js.key_value(bus.subjects.bucket)
        await kv.put("worker.bad", b"\xff{")
        await kv.put("worker.liar", b'{"worker_id": "somebody-else"}')
        await kv.put("worker.any", b"{}")
        async with running(me.run()):
            await seen.until(lambda: "good" in seen.entries)
    assert set(seen.entries) == {"good"}
    assert seen.watch.malformed == 3


async def test_a_reading_gives_the_entries_by_worker_id_and_leaves_out_what_is_none(bus):
    with pytest.raises(UnavailableError, match="no labelbus has run there yet"):
        await read_entries(bus)
    async with running(registration(bus, "w2").run(), registration(bus, "w1").run()):
        seen = Seen(bus)
        async with running(seen.watch.run()):
            await seen.until(lambda: set(seen.entries) == {"w1", "w2"})
        kv = await bus.js.key_value(bus.subjects.bucket)
        await kv.put("worker.bad", b"\xff{")
        assert [entry.worker_id for entry in await read_entries(bus)] == ["w1", "w2"]


async def test_the_value_is_json_for_people(bus):
    me = registration(bus)
    async with running(me.run()):
        await me.registered()
        kv = await bus.js.key_value(bus.subjects.bucket)
        entry = await kv.get("worker.w1")
        assert entry.value is not None
        assert json.loads(entry.value)["worker_id"] == "w1"
        assert entry.value.startswith(b'{\n  "')


async def test_the_largest_entry_that_a_worker_may_have_finds_room(bus):
    names = [f"{number:0{MAX_LABEL_CHARS}}" for number in range(MAX_CAPACITY)]
    held = HeldLabel(load_ms=123456.7, since="2026-11-22T12:00:00+00:00")
    entry = WorkerEntry(worker_id="w1", labels=dict.fromkeys(names, held), capacity=MAX_CAPACITY, heartbeat_s=1.0)
    seen = Seen(bus)
    async with running(seen.watch.run(), registration(bus, entry=lambda: entry).run()):
        await seen.until(lambda: seen.entries == {"w1": entry})


async def test_an_entry_tells_its_heartbeat(bus):
    seen = Seen(bus)
    async with running(seen.watch.run(), registration(bus, heartbeat_s=7.5).run()):
        await seen.until(lambda: "w1" in seen.entries)
    assert seen.entries["w1"].heartbeat_s == 7.5


async def test_what_a_disowned_worker_has_written_is_ignored_and_what_it_writes_later_counts(bus):
    seen, me = Seen(bus), registration(bus, heartbeat_s=60)
    async with running(seen.watch.run()):
        async with running(me.run()):
            await seen.until(lambda: "w1" in seen.entries)
        seen.watch.disown("w1")
        del seen.entries["w1"]
        await seen.watch._reconnected()
        async with running(registration(bus, "w2", heartbeat_s=60).run()):
            await seen.until(lambda: len(seen.reach) == 2 and "w2" in seen.entries)
            assert set(seen.entries) == {"w2"}
        async with running(me.run()):
            await seen.until(lambda: set(seen.entries) == {"w1", "w2"})
    assert seen.gone == []


async def test_after_a_restart_of_the_server_the_registry_is_whole_again(nats):
    async with connect(own_bus(nats.url, "restart"), name="test") as bus:
        seen, me = Seen(bus), registration(bus, heartbeat_s=20)
        async with running(seen.watch.run(), me.run()):
            await seen.until(lambda: "w1" in seen.entries)
            nats.stop()
            before = len(seen.reach)
            nats.start()
            await seen.until(lambda: True in seen.reach[before:])
            assert set(seen.entries) == {"w1"}
            assert seen.gone == []
            async with running(registration(bus, "w2").run()):
                await seen.until(lambda: "w2" in seen.entries)


async def test_who_went_while_the_server_was_away_is_gone(nats):
    async with connect(own_bus(nats.url, "away"), name="test") as bus:
        seen = Seen(bus)
        async with running(seen.watch.run()):
            async with running(registration(bus, heartbeat_s=0.3).run()):
                await seen.until(lambda: "w1" in seen.entries)
                nats.stop()
            nats.start()
            await seen.until(lambda: seen.gone == ["w1"])


def test_a_key_lives_three_heartbeats_in_whole_seconds():
    assert [ttl_s(beat) for beat in (0.1, 1.0, 2.0, 2.1)] == [1, 3, 6, 7]
