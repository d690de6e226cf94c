"""The converter told to stop while it converts, and its disk full: models are there whole, or not at all."""

import asyncio
import contextlib
import shutil
import signal

import nats as nats_py
import psutil
import pytest

from tests.disks import small_disk
from tests.reliability.pool import DEADLINE_S, Pool

pytestmark = [pytest.mark.nats, pytest.mark.model, pytest.mark.e2e]

ANSWER_S = 100.0
WHOLE = {"config.pbtxt", "labelbus.json", "tokenizer.json", "1/model.onnx"}


@pytest.fixture
async def pool(tmp_path):
    made = Pool(tmp_path)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
def models(pool, tiny_model):
    """Two models that may be converted."""
    folder = pool.folder / "models"
    for name in ("first", "second"):
        shutil.copytree(tiny_model, folder / name)
    return folder


async def upload(pool, model):
    return await pool.gateway.call("POST", "/upload-model", {"model_id": str(model)}, timeout_s=ANSWER_S)


async def until_exporting(pool, name):
    """Wait until a conversion of this converter is in its longest part, torch."""

    async def so():
        below = psutil.Process(pool.parts[name].pid).children(recursive=True)
        return any("converter.export" in process.cmdline() for process in below)

    await pool.until(so)


@contextlib.asynccontextmanager
async def progress(pool, model_name):
    """Subscribe to the progress of this model's conversion."""
    nc = await nats_py.connect(pool.nats.url)
    try:
        told = await nc.subscribe(f"lb.event.convert.{model_name}")
        await nc.flush()
        yield told
    finally:
        await nc.close()


def entries(repository):
    """The entries with their files; what is hidden, half of an entry, is one as well."""
    found = {}
    for entry in repository.iterdir():
        files = [path for path in entry.rglob("*") if path.is_file()] if entry.is_dir() else []
        found[entry.name] = {path.relative_to(entry).as_posix() for path in files}
    return found


async def test_a_converter_that_is_told_to_stop_ends_what_runs_and_others_take_what_waits(pool, models):
    repository = pool.folder / "repository"
    await pool.converter("c1", repository, "--drain-timeout-s", "100")
    await pool.dispatcher()
    await pool.ready()
    async with progress(pool, "second") as told:
        first = asyncio.create_task(upload(pool, models / "first"))
        await until_exporting(pool, "c1")
        second = asyncio.create_task(upload(pool, models / "second"))
        await told.next_msg(timeout=DEADLINE_S)  # it waits its turn
    await pool.converter("c2", repository)
    await pool.parts["c2"].ready(DEADLINE_S)
    pool.parts["c1"].send(signal.SIGTERM)
    answers = await asyncio.gather(first, second)
    assert [answer.status for answer in answers] == [200, 200], [answer.json() for answer in answers]
    assert await pool.parts["c1"].ended() == 0
    converted = {
        name: [said["fields"]["model_name"] for said in pool.said(name, "model converted")] for name in pool.parts
    }
    assert converted == {"c1": ["first"], "c2": ["second"], "d1": []}
    assert entries(repository) == {"first": WHOLE, "second": WHOLE}


async def test_a_conversion_that_outlasts_the_grace_is_a_clear_error_and_leaves_nothing(pool, models):
    repository = pool.folder / "repository"
    await pool.converter("c1", repository, "--drain-timeout-s", "0.2")
    await pool.dispatcher()
    await pool.ready()
    asked = [asyncio.create_task(upload(pool, models / "first"))]
    await until_exporting(pool, "c1")
    asked.append(asyncio.create_task(upload(pool, models / "first")))  # joins it, or comes too late: both are told
    pool.parts["c1"].send(signal.SIGTERM)
    for answer in await asyncio.gather(*asked):
        assert (answer.status, answer.code in {"stopping", "unavailable"}) == (503, True), answer
        assert "converter" in answer.json()["detail"]
    assert await pool.parts["c1"].ended() == 0
    assert entries(repository) == {}


async def test_a_full_disk_costs_the_conversion_that_met_it_and_nothing_half_written_is_left(pool, models):
    with small_disk(pool.folder / "disk", size_mb=24) as disk:
        repository = disk.folder / "repository"
        await pool.converter("c1", repository)
        await pool.dispatcher()
        await pool.ready()
        asked = asyncio.create_task(upload(pool, models / "first"))
        await until_exporting(pool, "c1")
        disk.fill()
        full = await asked
        assert (full.status, full.code) == (503, "unavailable"), full.json()
        assert "make room" in full.json()["detail"]
        assert entries(repository) == {}
        before = await upload(pool, models / "first")  # told before it has cost anything
        assert (before.status, before.code) == (503, "unavailable")
        assert "make room" in before.json()["detail"]
        disk.make_room()
        assert (await upload(pool, models / "first")).status == 200
        assert entries(repository) == {"first": WHOLE}
        await pool.parts["c1"].stop()
