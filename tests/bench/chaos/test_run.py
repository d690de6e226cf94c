"""A short chaos run on a real stack."""

import asyncio
import json
import sys

import pytest

from tests.full import full


@pytest.mark.e2e
@pytest.mark.nats
@pytest.mark.timeout(240)
@pytest.mark.parametrize("minutes", [1, full(10, name="10 minutes of faults", timeout_s=900)])
async def test_a_run_loses_nothing_and_leaves_a_report(tmp_path, minutes):
    chaos = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.chaos", "--minutes", str(minutes), "--seed", "3", "--pause-s", "2"),
        *("--results", str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(chaos.communicate(), minutes * 60 + 140)
    assert chaos.returncode == 0, said.decode()
    [folder] = tmp_path.iterdir()
    results = json.loads((folder / "chaos.json").read_text())["results"]
    assert (results["verdict"]["lost"], results["verdict"]["wrong"]) == (0, 0)
    assert results["verdict"]["answered"] > 0
    assert results["faults"]
    assert "answers a second" in (folder / "chaos.svg").read_text()
