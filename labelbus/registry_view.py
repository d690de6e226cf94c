"""The label registry as the commands show it: read once, from the bucket."""

import asyncio
from typing import Annotated, Final

from msgspec import Meta

from bus.connection import connect
from bus.messages import WorkerEntry
from bus.registry import read_entries
from bus.settings import BusSettings

CONNECT_TIMEOUT_S: Final = 5.0


class RegistrySettings(BusSettings, frozen=True, kw_only=True):
    """Settings of the commands that show the registry."""

    nats_connect_timeout_s: float = CONNECT_TIMEOUT_S
    json: Annotated[bool, Meta(description="Print JSON.")] = False


def read_registry(settings: BusSettings) -> list[WorkerEntry]:
    """Return all entries, by worker id; `UnavailableError` if there is no NATS or no bucket."""
    return asyncio.run(_read(settings))


async def _read(settings: BusSettings) -> list[WorkerEntry]:
    async with connect(settings, name="labelbus-cli") as bus:
        return await read_entries(bus)
