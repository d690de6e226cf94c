import asyncio
import statistics
import time

import numpy as np
import pytest

from bus.errors import BadParametersError, DeadlineError
from worker.runtimes.protocol import Tensors
from worker.runtimes.simulated import SimulatedRuntime


def test_a_load_takes_what_was_told_for_its_label_or_for_all() -> None:
    runtime = SimulatedRuntime(500, label_load_ms={"slow": 2000, "free": 0})

    assert [runtime.next_load_ms(label) for label in ("any", "slow", "free")] == [500, 2000, 0]


def test_drawn_times_have_the_mean_that_was_told_and_repeat_with_the_seed() -> None:
    runtime, same, other = (SimulatedRuntime(100, sigma=0.5, seed=seed) for seed in (1, 1, 2))
    drawn = [runtime.next_load_ms("a") for _ in range(4000)]

    assert statistics.mean(drawn) == pytest.approx(100, rel=0.05)
    assert statistics.stdev(drawn) > 30
    assert drawn[:10] == [same.next_load_ms("a") for _ in range(10)] != [other.next_load_ms("a") for _ in range(10)]


async def test_a_load_waits_that_long() -> None:
    runtime = SimulatedRuntime(1, label_load_ms={"slow": 3_600_000})
    await runtime.start()
    await runtime.load("quick")

    slow = asyncio.ensure_future(runtime.load("slow"))
    done, _ = await asyncio.wait({slow}, timeout=0.01)

    assert not done
    slow.cancel()
    await runtime.unload("quick")
    await runtime.stop()


async def test_there_is_nothing_to_run() -> None:
    runtime = SimulatedRuntime(1)
    with pytest.raises(BadParametersError, match="sample_task"):
        await runtime.run("a", {"x": np.zeros(1)})
    assert await runtime.max_rows("a") == 0


async def test_a_run_takes_what_its_law_says_and_gives_back_its_inputs() -> None:
    runtime = SimulatedRuntime(0, run_ms=8, item_ms=1)
    inputs: Tensors = {"x": np.arange(6).reshape(3, 2)}
    began = time.monotonic()
    for _ in range(5):
        assert await runtime.run("a", inputs) == inputs
    assert time.monotonic() - began >= 0.050, "each takes 8 + 3 · 1 ms, and timers are a millisecond early at most"
    assert await runtime.max_rows("a") > 1


async def test_a_run_past_its_deadline_fails() -> None:
    with pytest.raises(DeadlineError, match="no answer in time"):
        await SimulatedRuntime(0, run_ms=3_600_000).run("a", {"x": np.zeros(1)}, timeout_s=0.001)
