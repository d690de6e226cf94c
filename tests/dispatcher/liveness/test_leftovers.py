"""Workers that are not there, though the registry has their entry or a state was heard, are dropped without a task."""

import asyncio

import pytest

from bus.codec import encode_entry, encode_state
from bus.connection import connect
from bus.messages import WorkerEntry, WorkerState
from tests.conftest import own_bus
from tests.dispatcher.conftest import DEADLINE_S, until

pytestmark = pytest.mark.nats


async def leave_behind(gateway, worker_id, **fields):
    """Write an entry without a TTL, as a restored backup or another tool would."""
    entry = WorkerEntry(worker_id=worker_id, **fields)
    subject = gateway.bus.subjects.kv(gateway.bus.subjects.worker_key(worker_id))
    await gateway.bus.js.publish(subject, encode_entry(entry))


async def until_workers(gateway, *worker_ids):
    async with asyncio.timeout(DEADLINE_S):
        while (await gateway.http.get("/workers")).json()["workers"] != sorted(worker_ids):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("fields", [{}, {"heartbeat_s": 60.0}], ids=["heartbeat not told", "a long heartbeat"])
async def test_an_entry_of_a_worker_that_is_not_there_leaves_the_list_though_no_task_is_sent(pool, fields):
    await leave_behind(pool, "ghost", **fields)
    await until_workers(pool, "ghost", "w1")
    await until_workers(pool, "w1")
    assert pool.service.counters.submitted == 0
    assert (await pool.run()).headers["Labelbus-Worker"] == "w1"


async def test_an_entry_that_is_not_renewed_is_dropped_after_three_heartbeats(pool):
    for _ in range(2):
        await leave_behind(pool, "ghost", heartbeat_s=0.2)
    await until_workers(pool, "ghost", "w1")
    began = asyncio.get_running_loop().time()
    await until_workers(pool, "w1")
    assert asyncio.get_running_loop().time() - began < DEADLINE_S / 2


async def test_a_worker_that_is_there_stays_whoever_wrote_its_entry(pool):
    heard = asyncio.Event()

    async def ping(msg):
        await pool.bus.publish(msg.reply, encode_state(WorkerState(worker_id="strange", outstanding=())))
        heard.set()

    await pool.bus.subscribe(pool.bus.subjects.ping("strange"), ping)
    await pool.bus.settle()
    await leave_behind(pool, "strange", heartbeat_s=0.2)
    await until_workers(pool, "strange", "w1")
    for _ in range(3):
        heard.clear()
        await asyncio.wait_for(heard.wait(), DEADLINE_S)
    await until_workers(pool, "strange", "w1")


async def test_a_state_of_a_worker_that_is_not_there_is_forgotten_too(pool):
    await pool.bus.publish(pool.bus.subjects.state("ghost"), encode_state(WorkerState(worker_id="ghost")))
    await until_workers(pool, "ghost", "w1")
    await until_workers(pool, "w1")


async def test_a_leftover_does_not_come_back_when_the_registry_is_read_again_but_a_worker_that_writes_does(
    make_gateway, nats
):
    settings = own_bus(nats.url, "leftovers")
    gateway = await make_gateway(settings)
    listed: list[str] = []
    async with connect(settings, name="own") as own:
        gateway.bus = own
        await leave_behind(gateway, "ghost")
        await until_workers(gateway, "ghost")
        await until_workers(gateway)
        nats.stop()
        await until(lambda: not gateway.component.bus.connected and not own.connected)
        nats.start()
        await until(lambda: gateway.component.bus.connected and own.connected)
        await leave_behind(gateway, "later")

        def read_again() -> bool:
            listed.extend(view.worker_id for view in gateway.service.router.workers())
            return "later" in listed

        await until(read_again)
        assert "ghost" not in listed
        await leave_behind(gateway, "ghost")
        await until_workers(gateway, "ghost", "later")
        await until_workers(gateway)
