"""Ray Serve for real, where `just bench-peers` has made its environment."""

import os
from pathlib import Path

import psutil
import pytest

from bench.peers.ray_client import RayClient
from bench.peers.ray_process import running_ray
from bench.peers.settings import RAY_PYTHON, PeersSettings

PYTHON = Path(__file__).parents[3] / RAY_PYTHON

pytestmark = [
    pytest.mark.skipif(not PYTHON.exists(), reason="no Ray Serve: `just bench-peers` makes its environment"),
    pytest.mark.timeout(300),
]


async def test_loads_are_counted_and_nothing_is_left_running():
    settings = PeersSettings(ray_python=PYTHON, workers=1, load_ms=20.0)
    async with running_ray(settings, "ray") as ray, RayClient(ray.url, timeout_s=60.0, connections=1) as client:
        assert ray.loads() == 0
        first = await client.run_task("sample_task", "tenant/a", {"sleep_ms": 1})
        again = await client.run_task("sample_task", "tenant/a", {"sleep_ms": 1})
        assert first.worker == again.worker
        assert first.load_ms >= 20.0 > again.load_ms
        for label in ("tenant/b", "tenant/c", "tenant/a"):
            await client.run_task("sample_task", label, {"sleep_ms": 1})
        assert ray.loads() == 4
        mine = psutil.Process(os.getpid()).children(recursive=True)
        assert len(mine) > 3
    left = [process for process in mine if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert left == []
