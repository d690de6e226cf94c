"""The start of a runtime, which may be told to stop before it is up."""

import asyncio

from worker.runtimes.protocol import Runtime


async def start_runtime(runtime: Runtime, stopping: asyncio.Event) -> bool:
    """Start the runtime; False if `stopping` came first: a Triton that does not come up may need a minute to say so."""
    starting = asyncio.create_task(runtime.start(), name="runtime start")
    told = asyncio.create_task(stopping.wait(), name="told to stop")
    try:
        await asyncio.wait((starting, told), return_when=asyncio.FIRST_COMPLETED)
    finally:
        told.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.wait((starting,))
    if starting.cancelled():
        return False
    starting.result()
    return True
