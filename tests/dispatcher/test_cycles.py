"""Memory of ended tasks: none is held by a reference cycle, which would wait for the garbage collector."""

import asyncio
import gc

import pytest

pytestmark = pytest.mark.nats

OURS = ("bus.", "dispatcher.", "worker.")


@pytest.fixture
def collector():
    """The garbage collector, which runs only when it is asked to and keeps the cycles that it finds."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def cycles() -> list[str]:
    gc.collect()
    found = sorted({type(it).__qualname__ for it in gc.garbage if type(it).__module__.startswith(OURS)})
    gc.garbage.clear()
    return found


@pytest.mark.parametrize("labels", [["a"], ["a", "b"]], ids=["hits", "loads"])
async def test_a_task_leaves_nothing_for_the_garbage_collector(make_gateway, collector, labels):
    pool = await make_gateway()
    await pool.add_worker(capacity=1)
    await asyncio.gather(*(pool.run(label=label) for label in labels))
    cycles()  # what earlier tests left, and what a first task does once
    answers = await asyncio.gather(*(pool.run(label=label) for label in labels * 5))
    assert {answer.status_code for answer in answers} == {200}
    assert cycles() == []
