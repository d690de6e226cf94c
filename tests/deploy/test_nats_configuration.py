"""Configuration of a release's NATS, checked by the server itself."""

import asyncio
import os
import sys
from pathlib import Path

import nats
import pytest

from tests.deploy.rendering import CASES, Case, Chart, Release
from tests.deploy.tools import run

pytestmark = pytest.mark.nats

NATS_SERVER = Path(sys.prefix) / "bin" / "nats-server"
LOGIN = {"LABELBUS_NATS_USER": "labelbus", "LABELBUS_NATS_PASSWORD": "p1234567890123456789"}
WITH_NATS = [name for name, case in CASES.items() if case.values.get("nats", {}).get("enabled", True)]


@pytest.mark.parametrize("name", WITH_NATS)
def test_nats_accepts_its_configuration(any_chart: Chart, name: str, tmp_path: Path) -> None:
    config = written(any_chart.render(CASES[name]), tmp_path)
    outcome = run(NATS_SERVER, "-t", "-c", config, environment={**LOGIN, "SERVER_NAME": "nats-0"})
    assert outcome.returncode == 0, outcome.stderr


async def test_nats_lets_labelbus_in_and_nobody_else(any_chart: Chart, tmp_path: Path) -> None:
    config = written(any_chart.render(Case()), tmp_path)
    process = await asyncio.create_subprocess_exec(
        NATS_SERVER, "-c", config, "-a", "127.0.0.1", "-p", "-1",
        env={**os.environ, **LOGIN, "SERVER_NAME": "nats-0"},
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        url = await listening(process)
        entered = await nats.connect(
            url, user=LOGIN["LABELBUS_NATS_USER"], password=LOGIN["LABELBUS_NATS_PASSWORD"], allow_reconnect=False
        )
        assert entered.max_payload == 8 * 1024 * 1024
        await entered.jetstream().add_stream(name="LOGS", subjects=["lb.log.>"])
        await entered.close()
        assert "Authorization Violation" in await answer_to_a_stranger(url)
    finally:
        process.kill()
        await process.communicate()


async def answer_to_a_stranger(url: str) -> str:
    """Return what the server sends to a client without a password until it closes the connection."""
    host, port = url.removeprefix("nats://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b'CONNECT {"verbose": false}\r\nPING\r\n')
    async with asyncio.timeout(10):
        text = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return text


async def listening(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    async with asyncio.timeout(20):
        seen = ""
        while "Server is ready" not in seen:
            line = (await process.stderr.readline()).decode()
            assert line, seen
            seen += line
    port = seen.split("Listening for client connections on 127.0.0.1:")[1].split()[0]
    return f"nats://127.0.0.1:{port}"


def written(release: Release, folder: Path) -> Path:
    """Write the configuration into a file, with a local folder in place of the pod's volumes."""
    (text,) = [
        each["data"]["nats.conf"] for each in release.of_kind("ConfigMap") if "nats.conf" in each.get("data", {})
    ]
    file = folder / "nats.conf"
    file.write_text(
        text.replace("/data", str(folder / "data")).replace("/var/run/nats", str(folder)).replace("8222", "0")
    )
    return file
