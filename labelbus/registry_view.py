"""The registry as a person asks for it: read once, from the bucket itself."""

import asyncio
from typing import Annotated, Final

import nats.errors
from msgspec import Meta
from nats.js.errors import BucketNotFoundError, Error, NotFoundError

from bus.codec import decode_entry
from bus.connection import Bus, connect
from bus.errors import MalformedError, UnavailableError, reason
from bus.messages import WorkerEntry
from bus.settings import BusSettings

CONNECT_TIMEOUT_S: Final = 5.0


class RegistrySettings(BusSettings, frozen=True, kw_only=True):
    """Where the registry is, and how to show it."""

    nats_connect_timeout_s: float = CONNECT_TIMEOUT_S
    json: Annotated[bool, Meta(description="Print JSON.")] = False


def read_registry(settings: BusSettings) -> list[WorkerEntry]:
    """All entries, by worker id; `UnavailableError` if there is no NATS or no bucket."""
    return asyncio.run(_read(settings))


async def _read(settings: BusSettings) -> list[WorkerEntry]:
    async with connect(settings, name="labelbus-cli") as bus:
        return await entries_of(bus)


async def entries_of(bus: Bus) -> list[WorkerEntry]:
    """All entries, by worker id; values that are none are left out. `UnavailableError` if there is no bucket."""
    try:
        kv = await bus.js.key_value(bus.subjects.bucket)
        watcher = await kv.watch(bus.subjects.worker_keys, ignore_deletes=True)
        entries = []
        async for update in watcher:
            if update is None:
                break
            try:
                entries.append(decode_entry(update.value or b""))
            except MalformedError:
                continue
        await watcher.stop()  # type: ignore[no-untyped-call]
    except (BucketNotFoundError, NotFoundError) as exc:
        raise UnavailableError(
            f"there is no bucket {bus.subjects.bucket} on this NATS: no labelbus has run there yet"
        ) from exc
    except (Error, nats.errors.Error, TimeoutError) as exc:
        raise UnavailableError(f"the registry cannot be read: {reason(exc)}") from exc
    return sorted(entries, key=lambda entry: entry.worker_id)
