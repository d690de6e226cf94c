"""The frame of every component: logging, the connection, signals, and an orderly end."""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import uvloop
from loguru import logger

from bus.connection import Bus, connect
from bus.logs import LogShipper, set_up_logging
from bus.owned import end
from bus.quick_log import QuickLog
from bus.settings import BusSettings

LOG_DRAIN_S: Final = 5.0
HEALTH_TOUCH_S: Final = 2.0

COLLECT_AFTER: Final = 20_000
"""New objects before the garbage collector looks for cycles. Python's default of 700 is reached by ten requests in
flight: a busy gateway spent a fourteenth of its time on collecting (measured with py-spy)."""


class Component:
    """The argument of a component's main function: the bus, and the event that says when to end."""

    def __init__(self, bus: Bus, component_id: str, shipper: LogShipper, quick_log: QuickLog) -> None:
        self.bus: Final = bus
        self.id: Final = component_id
        self.shipper: Final = shipper
        self.quick_log: Final = quick_log
        self.stopping: Final = asyncio.Event()
        self.ready: Final = asyncio.Event()
        """Set by the main function once it can do its work; the health file appears then."""


@asynccontextmanager
async def on_the_bus(settings: BusSettings, *, component: str, component_id: str) -> AsyncIterator[Component]:
    """Yield a component that is connected and logs to the bus; at the end ship its last records."""
    async with connect(settings, name=f"labelbus-{component}-{component_id}") as bus:
        shipper = LogShipper(bus, component=component, component_id=component_id)
        sink = logger.add(shipper.sink, level=settings.log_level, format="{message}", catch=True)
        quick_log = QuickLog(settings, component=component, component_id=component_id, shipper=shipper)
        it = Component(bus, component_id, shipper, quick_log)
        background = [asyncio.create_task(shipper.run(), name="ship logs")]
        if settings.health_file is not None:
            background.append(asyncio.create_task(_touch(settings.health_file, it.ready), name="health file"))
        try:
            yield it
        finally:
            logger.remove(sink)
            quick_log.flush()
            await shipper.drain(LOG_DRAIN_S)
            await end(*background)


def run_component(
    settings: BusSettings, *, component: str, component_id: str, main: Callable[[Component], Awaitable[None]]
) -> int:
    """Run `main` until it returns and return the exit status; SIGTERM and SIGINT set `stopping`."""

    async def run() -> None:
        async with on_the_bus(settings, component=component, component_id=component_id) as it:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, _stop, it, number)
            spare_the_collector()
            logger.bind(component=component).info("started")
            await main(it)
            logger.bind(component=component).info("stopped")

    set_up_logging(settings, component=component, component_id=component_id)
    run_loop(run())
    return 0


def spare_the_collector() -> None:
    """Exempt what was imported from garbage collection, and collect the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 10, 10)


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end, as `asyncio.run` does, on uvloop."""
    uvloop.run(main)


async def _touch(file: Path, ready: asyncio.Event) -> None:
    """Touch the file every few seconds while the event loop runs, so that a process that hangs is noticed."""
    file.unlink(missing_ok=True)  # left by an earlier process
    await ready.wait()
    while True:
        file.touch()
        await asyncio.sleep(HEALTH_TOUCH_S)


def _stop(component: Component, number: signal.Signals) -> None:
    if not component.stopping.is_set():
        logger.bind(signal=number.name).info("stopping")
    component.stopping.set()
