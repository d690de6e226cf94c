"""Memory and open files of every part over many tasks; the docs quote the run of 100,000."""

import asyncio

import pytest

from tests.full import full
from tests.reliability.pool import LABELS

pytestmark = [pytest.mark.nats, pytest.mark.e2e, pytest.mark.timeout(400)]

WARM = 4_000
AT_ONCE = 12
MAY_GROW_MB = 20.0
"""A hundred bytes left behind by each of 100,000 tasks would be 10 MB in the one run, a kilobyte 20 MB in the other."""


@pytest.mark.parametrize("tasks", [10_000, full(100_000, name="100,000 tasks", timeout_s=1200)])
async def test_memory_and_open_files_do_not_grow_with_tasks(pool, figures, tasks):
    for name in ("w1", "w2"):
        await pool.worker(name, "--slots", "4")
    await pool.dispatcher()
    await pool.logsink()
    await pool.ready()
    numbers = iter(range(WARM + tasks))

    async def client(upto):
        while (number := next(numbers, upto)) < upto:
            answer = await pool.gateway.run_task(LABELS[number % len(LABELS)])
            assert answer.status == 200, answer

    seen = []
    for upto in (WARM, WARM + tasks // 2, WARM + tasks):
        await asyncio.gather(*(client(upto) for _ in range(AT_ONCE)))
        seen.append({name: (part.rss_mb(), part.open_files()) for name, part in pool.parts.items()})
    for name in pool.parts:
        (before_mb, before_files), (half_mb, _), (after_mb, after_files) = (at[name] for at in seen)
        figures[f"flat: {name} MB before"] = before_mb
        figures[f"flat: {name} MB after half of {tasks} tasks"] = half_mb
        figures[f"flat: {name} MB after {tasks} tasks"] = after_mb
        figures[f"flat: {name} open files more"] = after_files - before_files
        assert after_mb < before_mb + MAY_GROW_MB, name
        assert after_files <= before_files + 3, name
