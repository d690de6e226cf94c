"""A local Triton leaves nothing behind, whoever is killed."""

import asyncio
import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from worker.local_triton.command import LocalTritonOptions
from worker.local_triton.files import GUARD, LocalTritonFiles, find_local_triton
from worker.local_triton.process import TritonProcess, new_folder
from worker.runtimes.triton import TritonRuntime

pytestmark = pytest.mark.triton

DEADLINE_S = 30.0

WORKER = """
import asyncio, sys
from pathlib import Path
from worker.local_triton.command import LocalTritonOptions
from worker.local_triton.files import find_local_triton
from worker.runtimes.local_triton import LocalTritonRuntime

async def main():
    runtime = LocalTritonRuntime(find_local_triton(), LocalTritonOptions(model_repository=Path(sys.argv[1])))
    await runtime.start()
    await runtime.load("org/one")
    print(runtime.process.guard_pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def files() -> LocalTritonFiles:
    found = find_local_triton()
    if not isinstance(found, LocalTritonFiles):
        pytest.skip(found.reason)
    return found


def leftovers(everything: dict[int, str]) -> set[Path]:
    """The folder and the shared memory of these processes, as far as they are still there."""
    lines = " ".join(everything.values())
    prefixes = set(re.findall(r"labelbus-[0-9a-f]{12}-", lines))
    folders = {Path(found) for found in re.findall(r"/[^\0=:]*/labelbus-triton-[^/\0]+", lines)}
    assert len(prefixes) == len(folders) == 1
    return {*Path("/dev/shm").glob(f"{prefixes.pop()}*"), *filter(Path.exists, folders)}


def session(leader: int) -> dict[int, str]:
    """The processes of a session that have not ended, with their command lines."""
    found = {}
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found[process.pid] = "\0".join(process.cmdline())
    return found


def wait_until_gone(pids: dict[int, str]) -> None:
    """Wait for the end of processes that need not be children of this one."""
    deadline = time.monotonic() + DEADLINE_S
    for pid, command in pids.items():
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        ended, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        os.close(descriptor)
        assert ended, f"{command} is still there"


async def loaded(files: LocalTritonFiles, models: Path, folder: Path) -> TritonProcess:
    process = await TritonProcess.start(files, LocalTritonOptions(model_repository=models, grace_s=0.5), folder)
    client = TritonRuntime(process.target)
    await client.start()
    await client.load("org/one")
    await client.stop()
    return process


async def test_stopping_ends_the_server_and_its_stubs(files: LocalTritonFiles, repository: Path) -> None:
    process = await loaded(files, repository, new_folder())
    everything = session(process.guard_pid)
    assert len(everything) == 3
    assert len(leftovers(everything)) == 2

    await process.stop()
    await process.stop()

    assert not session(process.guard_pid)
    assert not leftovers(everything)
    for pid in everything:
        with pytest.raises(ProcessLookupError):  # reaped, too
            os.kill(pid, 0)


async def test_two_beside_each_other_do_not_disturb_each_other(files: LocalTritonFiles, repository: Path) -> None:
    one, two = await asyncio.gather(loaded(files, repository, new_folder()), loaded(files, repository, new_folder()))
    assert one.target != two.target
    other = session(two.guard_pid)

    await one.stop()

    assert session(two.guard_pid) == other
    assert len(leftovers(other)) == 2
    await two.stop()


@pytest.mark.parametrize("stopped", [False, True], ids=["a server that runs", "a server that hangs"])
async def test_a_killed_guard_takes_the_server_and_its_stubs_along(
    files: LocalTritonFiles, repository: Path, *, stopped: bool
) -> None:
    process = await loaded(files, repository, new_folder())
    everything = session(process.guard_pid)
    if stopped:
        os.kill(next(pid for pid in everything if os.getpgid(pid) == pid != process.guard_pid), signal.SIGSTOP)
    os.kill(process.guard_pid, signal.SIGKILL)

    await asyncio.to_thread(wait_until_gone, everything)

    await process.wait()
    assert not leftovers(everything)


def test_a_killed_worker_takes_its_triton_along(files: LocalTritonFiles, repository: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WORKER, str(repository)], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        guard_pid = int(worker.stdout.readline())
        everything = session(guard_pid)
        assert len(everything) == 3
        worker.kill()
    wait_until_gone(everything)
    assert not leftovers(everything)


async def test_a_log_file_is_written_when_asked_for(files: LocalTritonFiles, repository: Path, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "triton.log"
    options = LocalTritonOptions(model_repository=repository, log_file=log)
    process = await TritonProcess.start(files, options, new_folder())
    client = TritonRuntime(process.target)
    await client.start()
    await client.stop()
    await process.stop()

    assert "Started GRPCInferenceService" in log.read_text()


@pytest.mark.parametrize("signalled", [False, True], ids=["the pipe closes", "SIGTERM"])
def test_a_server_that_does_not_listen_is_killed_after_its_grace(tmp_path: Path, *, signalled: bool) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    deaf = "trap '' TERM; sleep 1000 & echo ready; wait; wait"
    command = [sys.executable, "-I", "-S", str(GUARD), str(folder), "labelbus-test-", "0.1", "/bin/sh", "-c", deaf]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, text=True
    ) as guard:
        assert guard.stdout is not None
        assert guard.stdin is not None
        assert guard.stdout.readline() == "ready\n"
        everything = session(guard.pid)
        assert len(everything) == 3
        if signalled:
            guard.terminate()
        else:
            guard.stdin.close()

        assert guard.wait(DEADLINE_S) == 128 + signal.SIGKILL

    wait_until_gone(everything)
    assert not folder.exists()


@pytest.mark.parametrize(("command", "status"), [("exit 7", 7), ("kill -9 $$", 137), ("sleep 1000 & exit 0", 0)])
def test_the_guard_ends_with_its_server_and_its_status(tmp_path: Path, command: str, status: int) -> None:
    arguments = [str(tmp_path / "none"), "labelbus-test-", "5", "/bin/sh", "-c", command]
    with subprocess.Popen(
        [sys.executable, "-I", "-S", str(GUARD), *arguments], stdin=subprocess.PIPE, start_new_session=True
    ) as guard:
        assert guard.wait(DEADLINE_S) == status
    assert not session(guard.pid)


def test_a_server_that_cannot_be_executed_is_a_status_of_its_own(tmp_path: Path) -> None:
    arguments = [str(tmp_path), "labelbus-test-", "5", str(tmp_path / "nothing")]
    guard = subprocess.run(
        [sys.executable, "-I", "-S", str(GUARD), *arguments],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert guard.returncode == 126
    assert "No such file" in guard.stderr
