"""The orderly end of tasks that run until they are cancelled."""

import asyncio
from typing import Any, Final

CANCEL_AGAIN_S: Final = 0.05


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel the tasks, again and again until they are done; their exceptions are not raised here.

    Once is not enough: `asyncio.wait_for` of Python 3.11, which nats-py uses for requests, loses a cancellation that
    arrives together with the answer. A loop of requests would then go on, and its owner would wait for ever.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN_S)
