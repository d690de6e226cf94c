import asyncio
import contextlib
import os
import shutil
import signal
import sys

import pytest
from loguru import logger

from bus.codec import decode_convert_reply, decode_progress, encode_convert_request
from bus.connection import connect
from bus.messages import ConvertProgress, ConvertRequest
from bus.model_repository import ModelEntry
from converter.service import ConverterService
from converter.settings import ConverterSettings
from tests.converter.conftest import exporting, listing
from tests.nats_server import LocalNats

pytestmark = pytest.mark.nats

ANSWER_S = 110
BAD_MODEL_IDS = [
    ("../x", "bad_name"),
    ("a/../b", "bad_name"),
    ("has spaces/x", "bad_name"),
    ("bare-name", "bad_name"),
    ("https://huggingface.co/a/b", "bad_name"),
    ("a/b\nc", "bad_name"),
    ("x/" + "y" * 300, "bad_name"),
    ("/{models}/../../etc", "bad_name"),
    ("", "malformed"),
    ("x" * 2000, "malformed"),
    ("/etc", "invalid"),
    ("/nowhere/at/all", "invalid"),
    ("/{models}", "invalid"),
    ("/{models}/bare", "invalid"),
    ("/{models}/out", "invalid"),
    ("/{models}/missing", "unknown_model"),
    ("org/unknown", "unknown_model"),
]


class Running:
    """A service on a bus of its own, a second connection that asks it, and the progress it tells."""

    def __init__(self, service, stopping, bus):
        self.service = service
        self.stopping = stopping
        self.bus = bus
        self.events: list[ConvertProgress] = []
        self.heard = asyncio.Event()

    async def hear(self, message):
        self.events.append(decode_progress(message.data))
        self.heard.set()

    async def until(self, condition):
        async with asyncio.timeout(ANSWER_S):
            while not condition():
                self.heard.clear()
                await self.heard.wait()

    async def ask(self, model_id, **fields):
        return await self.send(encode_convert_request(ConvertRequest(model_id=str(model_id), **fields)))

    async def send(self, data):
        message = await self.bus.request(self.bus.subjects.convert, data, timeout_s=ANSWER_S)
        return decode_convert_reply(message.data)


@contextlib.asynccontextmanager
async def running(settings, repository, models, **fields):
    own = ConverterSettings(
        nats_url=settings.nats_url,
        prefix=settings.prefix,
        model_repository=repository,
        allow_folder=(models,),
        **fields,
    )
    stopping = asyncio.Event()
    async with connect(own, name="converter") as served, connect(own, name="asker") as asking:
        service = ConverterService(served, own, heartbeat_s=0.05)
        it = Running(service, stopping, asking)
        await asking.subscribe(asking.subjects.convert_event("*"), it.hear)
        await asking.settle()
        ready = asyncio.Event()
        task = asyncio.create_task(service.run(stopping, ready))
        try:
            async with asyncio.timeout(30):
                await ready.wait()
            yield it
        finally:
            stopping.set()
            await asyncio.wait_for(task, 60)


@pytest.fixture
def models(tmp_path, tiny_model):
    folder = tmp_path / "models"
    (folder / "bare").mkdir(parents=True)
    (folder / "out").symlink_to("/etc")
    shutil.copytree(tiny_model, folder / "tiny")
    return folder


async def test_bad_ids_are_named_errors_and_leave_nothing_behind(settings, repository, models, hub):
    (repository / "kept").mkdir()
    async with running(settings, repository, models) as it:
        for model_id, code in BAD_MODEL_IDS:
            reply = await it.ask(model_id.replace("/{models}", str(models)))
            assert (model_id, reply.error_code) == (model_id, code)
            assert reply.message
            assert listing(repository) == ["kept"]
        assert (await it.ask("a/b", max_batch_size=5000)).error_code == "bad_parameters"
    assert listing(repository) == ["kept"]


async def test_garbage_is_counted_and_answered_and_the_service_goes_on(settings, repository, models, hub):
    async with running(settings, repository, models) as it:
        for garbage in (b"", b"\xff" * 100, os.urandom(500), b"{}"):
            assert (await it.send(garbage)).error_code == "malformed"
        await it.bus.publish(it.bus.subjects.convert, b"\xff and nobody to answer to")
        assert (await it.ask("org/unknown")).error_code == "unknown_model"
        assert it.service.malformed == 5


async def test_a_flood_of_garbage_is_logged_once_a_second_with_a_count(settings, repository, models):
    lines = []
    sink = logger.add(lambda message: lines.append(message.record), level="WARNING")
    try:
        async with running(settings, repository, models) as it:
            for _ in range(300):
                await it.bus.publish(it.bus.subjects.convert, b"\xff")
            assert (await it.send(b"\xff")).error_code == "malformed"
    finally:
        logger.remove(sink)
    garbage = [line for line in lines if line["message"] == "malformed request"]
    assert sum(1 + line["extra"]["left_out"] for line in garbage) == it.service.malformed == 301
    assert len(garbage) < 30


async def test_two_requests_at_once_are_one_conversion_whose_progress_is_told(settings, repository, models):
    tiny = models / "tiny"
    async with running(settings, repository, models) as it:
        first, second, other = await asyncio.gather(it.ask(tiny), it.ask(tiny), it.ask(tiny, max_batch_size=4))
        assert first == second
        assert (first.error_code, first.model_name) == ("", "tiny")
        assert str(tiny) in first.message
        assert other.error_code == "exists"
        await it.until(lambda: it.events[-1].stage == "done")
        stages = list(dict.fromkeys(event.stage for event in it.events))
        assert stages == ["queued", "resolve", "export", "verify", "publish", "done"]
        assert [event.fraction for event in it.events] == sorted(event.fraction for event in it.events)
        assert {event.model_name for event in it.events} == {"tiny"}
        # The import of torch takes a while in which nothing happens, and which the heartbeat bridges.
        assert len([event for event in it.events if event.message == "starting torch"]) > 1
        info = ModelEntry(repository, "tiny").read_info()
        assert info.max_batch_size == 32

        assert (await it.ask(tiny)).error_code == "exists"
        assert ModelEntry(repository, "tiny").read_info() == info
        replaced = await it.ask(tiny, overwrite=True, max_batch_size=4)
        assert replaced.error_code == ""
        assert ModelEntry(repository, "tiny").read_info().max_batch_size == 4
        assert [path.name for path in repository.iterdir()] == ["tiny"]


async def test_a_full_queue_refuses_and_a_stop_answers_everyone(settings, repository, models):
    for name in ("second", "third"):
        shutil.copytree(models / "tiny", models / name)
    async with running(settings, repository, models, max_waiting=1, drain_timeout_s=0.2) as it:
        waiting = [asyncio.create_task(it.ask(models / "tiny"))]
        await it.until(lambda: any(event.stage == "export" for event in it.events))
        waiting.append(asyncio.create_task(it.ask(models / "second")))
        await it.until(lambda: any(event.model_name == "second" for event in it.events))
        assert (await it.ask(models / "third")).error_code == "queue_full"
        it.stopping.set()
        assert [reply.error_code for reply in await asyncio.gather(*waiting)] == ["stopping", "stopping"]
    assert listing(repository) == []


async def test_a_stop_without_a_grace_answers_everyone_too(settings, repository, models):
    shutil.copytree(models / "tiny", models / "second")
    async with running(settings, repository, models, drain_timeout_s=0) as it:
        waiting = [asyncio.create_task(it.ask(models / "tiny"))]
        await it.until(lambda: any(event.stage == "export" for event in it.events))
        waiting.append(asyncio.create_task(it.ask(models / "second")))
        await it.until(lambda: any(event.model_name == "second" for event in it.events))
        it.stopping.set()
        async with asyncio.timeout(30):
            assert [reply.error_code for reply in await asyncio.gather(*waiting)] == ["stopping", "stopping"]
    assert listing(repository) == []


async def test_a_stop_lets_a_running_conversion_finish_within_its_time(settings, repository, models):
    async with running(settings, repository, models, drain_timeout_s=100) as it:
        asked = asyncio.create_task(it.ask(models / "tiny"))
        await it.until(lambda: any(event.stage == "export" for event in it.events))
        it.stopping.set()
        assert (await asked).error_code == ""
    assert ModelEntry(repository, "tiny").read_info().dim == 32


async def test_a_killed_child_costs_one_conversion_and_not_the_service(settings, repository, models, hub):
    async with running(settings, repository, models) as it:
        asked = asyncio.create_task(it.ask(models / "tiny"))
        await it.until(lambda: any(event.message == "starting torch" for event in it.events))
        for child in exporting(os.getpid()):
            os.kill(child, signal.SIGKILL)
        reply = await asked
        assert (reply.error_code, "SIGKILL" in reply.message) == ("worker_failed", True)
        await it.until(lambda: it.events[-1].stage == "failed")
        assert listing(repository) == []
        assert (await it.ask("org/unknown")).error_code == "unknown_model"


async def test_the_process_serves_until_sigterm_and_ends_with_status_0(tmp_path, repository, models):
    with contextlib.closing(LocalNats(tmp_path / "nats")) as server:
        server.start()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "converter", "--nats-url", server.url, "--model-repository", str(repository)),
            *("--log-format", "json", "--converter-id", "c1", "--allow-folder", str(models)),
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr
        try:
            async with asyncio.timeout(60):
                while b"converter ready" not in (line := await process.stderr.readline()):
                    assert line, "it ended before it was ready"
                process.terminate()
                rest = await process.stderr.read()
                assert await process.wait() == 0
            assert b"stopped" in rest
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
