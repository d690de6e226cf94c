"""The local stack as real processes: up, kept, stopped, and nothing left."""

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.labelbus.conftest import Up, wait_until

pytestmark = [
    pytest.mark.nats,
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends processes with their parent"),
]


@pytest.fixture
def up(tmp_path) -> Iterator[Up]:
    with contextlib.closing(Up(tmp_path / "data")) as started:
        started.says("labelbus is up")
        yield started


PARTS = {"nats", "dispatcher-1", "worker-1", "worker-2", "logsink"}


def test_a_part_that_dies_is_started_again_and_ctrl_c_leaves_nothing(up):
    before = up.pids()
    assert set(before) == PARTS
    assert httpx.get(f"{up.url}/health/ready").json() == {"message": "OK"}
    os.kill(before["worker-1"], signal.SIGKILL)
    up.says("worker-1 ended with status -9; starting it again")
    wait_until(lambda: up.pids().get("worker-1", before["worker-1"]) != before["worker-1"])
    wait_until(lambda: httpx.get(f"{up.url}/workers").json()["workers"] == ["worker-1", "worker-2"])
    assert up.end(signal.SIGINT) == 0
    assert up.pids() == {}
    assert any("stopping" in line for line in up.lines)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_when_it_ends_however_that_is_no_process_is_left(tmp_path, how):
    with contextlib.closing(Up(tmp_path / "data")) as up:
        up.says("labelbus is up")
        assert up.end(how) == (0 if how is signal.SIGTERM else -signal.SIGKILL)
        wait_until(lambda: not up.pids())
        for output in (up.folder / "run").glob("*.out"):
            assert "Traceback" not in output.read_text(), output.name


def test_ctrl_c_while_it_starts_ends_it(tmp_path):
    with contextlib.closing(Up(tmp_path / "data")) as up:
        up.says("nats")
        assert up.end(signal.SIGINT) == 130
        assert up.pids() == {}


def test_a_second_stack_in_the_same_folder_is_refused(stack):
    second = Up(stack.folder)  # not closed, since that would end the parts of the first one, whose folder it is
    try:
        assert "a stack is running in" in second.says("choose another --data")
        assert second.process.wait(timeout=30) == 1
    finally:
        second.end(signal.SIGKILL)


@pytest.mark.parametrize("flag", ["--http-port", "--nats-port"])
def test_a_port_that_is_taken_is_refused_with_the_flag_to_change(tmp_path, flag):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with contextlib.closing(Up(tmp_path / "data", flag, port)) as up:
            up.says(f"port {port} is taken; choose another with {flag}")
            assert up.process.wait(timeout=30) == 1
            assert up.pids() == {}
