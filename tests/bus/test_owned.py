import asyncio
import contextlib

import pytest

from bus.owned import end

DEADLINE_S = 30


async def test_a_task_that_loses_a_cancellation_is_cancelled_again():
    lost = 0

    async def stubborn():
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(DEADLINE_S)
            except asyncio.CancelledError:
                lost += 1
                if lost == 3:
                    raise

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await asyncio.wait_for(end(task), DEADLINE_S)
    assert (task.cancelled(), lost) == (True, 3)


async def test_what_a_task_raises_at_its_end_stays_with_the_task():
    async def fails():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(DEADLINE_S)
        raise ValueError("at its end")

    task = asyncio.create_task(fails())
    await asyncio.sleep(0)
    await end(task, task)
    with pytest.raises(ValueError, match="at its end"):
        task.result()


async def test_tasks_that_are_done_are_no_hindrance():
    task = asyncio.create_task(asyncio.sleep(0))
    await task
    await end(task)
    await end()
