"""The end of tasks that run until they are cancelled."""

import asyncio
from typing import Any, Final

AGAIN_S: Final = 0.05


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel the tasks until they are done; what they raise stays theirs.

    Until: `asyncio.wait_for` of Python 3.11, which nats-py uses for requests, loses a cancellation that comes together
    with the answer. A loop that writes or asks again and again then goes on, and who waits for its end hangs.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_S)
