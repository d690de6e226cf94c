"""A Triton whose models and processes go away, and come back."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest

from bus.errors import RuntimeUnavailableError, TooLargeError
from worker.local_triton.command import LocalTritonOptions
from worker.local_triton.files import LocalTritonFiles
from worker.local_triton.process import TritonProcess, new_folder
from worker.runtimes.local_triton import LocalTritonRuntime, restart_delay_s
from worker.runtimes.protocol import Runtime, Tensors
from worker.runtimes.triton import MAX_MESSAGE_BYTES, TritonRuntime

pytestmark = pytest.mark.triton

INPUTS: Tensors = {"input_ids": np.ones((1, 4), np.int64), "attention_mask": np.ones((1, 4), np.int64)}


class Losses:
    """Collects what a runtime says it lost."""

    def __init__(self, runtime: Runtime) -> None:
        self._labels: asyncio.Queue[frozenset[str]] = asyncio.Queue()
        runtime.on_labels_lost(self._labels.put_nowait)

    async def next(self) -> frozenset[str]:
        async with asyncio.timeout(20):
            return await self._labels.get()

    @property
    def none(self) -> bool:
        return self._labels.empty()


def processes(guard_pid: int, name: str) -> list[int]:
    """The processes below a guard whose command line holds the name."""
    found = []
    for process in psutil.Process(guard_pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if any(name in argument for argument in process.cmdline()):
                found.append(process.pid)
    return found


def kill(guard_pid: int, name: str) -> None:
    pids = processes(guard_pid, name)
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
async def local(triton_files: LocalTritonFiles, repository: Path) -> AsyncIterator[LocalTritonRuntime]:
    runtime = LocalTritonRuntime(triton_files, LocalTritonOptions(model_repository=repository, grace_s=0.1))
    yield runtime
    await runtime.stop()


@pytest.fixture
async def server(triton_files: LocalTritonFiles, repository: Path) -> AsyncIterator[TritonProcess]:
    process = await TritonProcess.start(
        triton_files, LocalTritonOptions(model_repository=repository, grace_s=0.1), new_folder()
    )
    yield process
    await process.stop()


@pytest.fixture
async def client(server: TritonProcess, repository: Path) -> AsyncIterator[TritonRuntime]:
    runtime = TritonRuntime(server.target, repository=repository)
    yield runtime
    await runtime.stop()


def guard_of(runtime: LocalTritonRuntime) -> int:
    assert runtime.process is not None
    return runtime.process.guard_pid


async def test_a_model_whose_process_was_killed_is_lost_and_comes_back_with_a_load(local: LocalTritonRuntime) -> None:
    losses = Losses(local)
    await local.start()
    await local.load("org/one")
    await local.load("org/two")
    kill(guard_of(local), "org--one/1/model.onnx")

    with pytest.raises(RuntimeUnavailableError, match="org/one"):
        await local.run("org/one", INPUTS)

    assert await losses.next() == {"org/one"}
    await local.run("org/two", INPUTS)
    await local.load("org/one")
    await local.run("org/one", INPUTS)
    assert losses.none


async def test_a_late_error_does_not_lose_a_model_that_was_loaded_again(local: LocalTritonRuntime) -> None:
    losses = Losses(local)
    await local.start()
    await local.load("org/one")
    kill(guard_of(local), "org--one/1/model.onnx")

    answers = await asyncio.gather(*(local.run("org/one", INPUTS) for _ in range(5)), return_exceptions=True)

    assert {type(answer) for answer in answers} == {RuntimeUnavailableError}
    assert await losses.next() == {"org/one"}
    assert losses.none


async def test_a_local_server_that_dies_loses_all_labels_and_is_started_again(local: LocalTritonRuntime) -> None:
    losses = Losses(local)
    await local.start()
    await local.load("org/one")
    await local.load("org/two")
    for _ in range(2):
        kill(guard_of(local), "bin/tritonserver")
        assert await losses.next() == {"org/one", "org/two"}

        await asyncio.gather(local.load("org/one"), local.load("org/two"))

        await local.run("org/one", INPUTS)
        await local.run("org/two", INPUTS)
    assert losses.none


async def test_a_server_that_cannot_run_says_why(triton_files: LocalTritonFiles, tmp_path: Path) -> None:
    options = LocalTritonOptions(model_repository=tmp_path / "file" / "models")
    (tmp_path / "file").write_text("not a folder")
    runtime = LocalTritonRuntime(triton_files, options)

    with pytest.raises(RuntimeUnavailableError, match="file"):
        await runtime.start()

    await runtime.stop()


async def test_a_server_that_ends_at_once_says_so_in_its_own_words(
    triton_files: LocalTritonFiles, repository: Path, tmp_path: Path
) -> None:
    fake = tmp_path / "tritonserver"
    fake.write_text("#!/bin/sh\necho E1122 no such luck\nexit 3\n")
    fake.chmod(0o755)
    files = msgspec.structs.replace(triton_files, server=fake)

    with pytest.raises(RuntimeUnavailableError, match=r"status 3.*no such luck"):
        await LocalTritonRuntime(files, LocalTritonOptions(model_repository=repository, grace_s=0.1)).start()


async def test_labels_are_lost_when_a_server_elsewhere_goes_before_anyone_asks(
    server: TritonProcess, client: TritonRuntime
) -> None:
    losses = Losses(client)
    await client.start()
    await client.load("org/one")
    kill(server.guard_pid, "bin/tritonserver")

    assert await losses.next() == {"org/one"}
    for call in (client.run("org/one", INPUTS), client.load("org/one")):
        with pytest.raises(RuntimeUnavailableError):
            await call
    await client.unload("org/one")


async def test_a_client_finds_a_server_that_was_started_again(
    server: TritonProcess, client: TritonRuntime, triton_files: LocalTritonFiles, repository: Path
) -> None:
    losses = Losses(client)
    await client.start()
    await client.load("org/one")
    folder = Path(server.target.removeprefix("unix:")).parent
    await server.stop()
    assert await losses.next() == {"org/one"}

    again = await TritonProcess.start(
        triton_files, LocalTritonOptions(model_repository=repository, grace_s=0.1), folder
    )
    try:
        await client.ready()
        await client.load("org/one")
        await client.run("org/one", INPUTS)
    finally:
        await again.stop()


async def test_a_request_in_flight_when_the_server_goes_fails_at_once(
    server: TritonProcess, client: TritonRuntime
) -> None:
    await client.start()
    await client.load("org/one")
    os.kill(processes(server.guard_pid, "bin/tritonserver")[0], signal.SIGSTOP)
    running = asyncio.ensure_future(client.run("org/one", INPUTS))
    await asyncio.wait({running}, timeout=0.05)  # sent by then, and never answered
    kill(server.guard_pid, "bin/tritonserver")

    async with asyncio.timeout(20):
        with pytest.raises(RuntimeUnavailableError):
            await running


async def test_a_model_that_someone_else_unloaded_is_lost(server: TritonProcess, client: TritonRuntime) -> None:
    losses = Losses(client)
    await client.start()
    await client.load("org/one")
    other = TritonRuntime(server.target)
    await other.start()
    await other.unload("org/one")
    await other.stop()

    with pytest.raises(RuntimeUnavailableError):
        await client.run("org/one", INPUTS)

    assert await losses.next() == {"org/one"}
    await client.load("org/one")
    await client.run("org/one", INPUTS)


async def test_what_a_worker_before_left_loaded_is_unloaded_when_asked_for(
    server: TritonProcess, client: TritonRuntime
) -> None:
    await client.start()
    await client.load("org/one")

    after = TritonRuntime(server.target, unload_others=True)
    await after.start()
    try:
        with pytest.raises(RuntimeUnavailableError):
            await client.run("org/one", INPUTS)
    finally:
        await after.stop()


async def test_inputs_that_do_not_fit_into_a_message_are_too_large(client: TritonRuntime) -> None:
    await client.start()
    await client.load("org/one")
    rows = MAX_MESSAGE_BYTES // 8 // 8

    with pytest.raises(TooLargeError):
        await client.run("org/one", {name: np.ones((8, rows), np.int64) for name in INPUTS})

    await client.run("org/one", INPUTS)


async def test_nobody_there_is_an_error_within_the_time_given(tmp_path: Path) -> None:
    runtime = TritonRuntime(f"unix:{tmp_path}/nobody", start_timeout_s=0.2)

    with pytest.raises(RuntimeUnavailableError, match="nobody"):
        await runtime.start()

    with pytest.raises(RuntimeUnavailableError):
        await runtime.load("org/one")


@pytest.mark.parametrize(("short_lives", "delay_s"), [(0, 0.0), (1, 0.1), (2, 0.2), (7, 6.4), (8, 10.0), (9, 10.0)])
def test_restarts_wait_longer_when_they_do_not_last(short_lives: int, delay_s: float) -> None:
    assert restart_delay_s(short_lives) == pytest.approx(delay_s)
