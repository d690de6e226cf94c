"""A local stack as a real process."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from labelbus.stack.ports import free_ports

DEADLINE_S = 30
ROOT = Path(__file__).parent.parent.parent


class Up:
    """`labelbus up` with simulated workers, in a folder of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.http_port, self.nats_port = free_ports((0, ""), (0, ""))
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.nats_url = f"nats://127.0.0.1:{self.nats_port}"
        command = [
            *(sys.executable, "-m", "labelbus", "up", "--data", str(folder), "--runtime", "simulated"),
            *("--model-repository", str(folder / "models"), "--simulated-load-ms", "1", "--no-converter"),
            *("--http-port", str(self.http_port), "--nats-port", str(self.nats_port), *arguments),
        ]
        env = {key: value for key, value in os.environ.items() if not key.startswith("LABELBUS_")}
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                with self._more:
                    self.lines.append(line.rstrip())
                    self._more.notify_all()

    def says(self, wanted: str) -> str:
        """The first line that holds these words."""
        end = time.monotonic() + DEADLINE_S
        with self._more:
            while True:
                for line in self.lines:
                    if wanted in line:
                        return line
                left = end - time.monotonic()
                assert left > 0, self.lines
                self._more.wait(left)

    def pids(self) -> dict[str, int]:
        """The processes that belong to this folder, other than `labelbus up` itself."""
        found = {}
        for process in psutil.process_iter():
            if process.pid != self.process.pid:
                with contextlib.suppress(psutil.Error):
                    health = process.environ().get("LABELBUS_HEALTH_FILE", "")
                    running = process.status() != psutil.STATUS_ZOMBIE
                    if health.startswith(str(self.folder.resolve())) and running:
                        found[Path(health).stem] = process.pid
        return found

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        status = self.process.wait(timeout=2 * DEADLINE_S)
        self._reader.join()
        return status

    def close(self) -> None:
        if self.process.poll() is None:
            self.end(signal.SIGKILL)
        for pid in self.pids().values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._reader.join()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A stack that tests may use and must not disturb."""
    with contextlib.closing(Up(tmp_path_factory.mktemp("stack"))) as up:
        up.says("labelbus is up")
        yield up


def wait_until(condition: Callable[[], Any]) -> Any:
    """Return what the condition gives once it is true; for what nobody tells."""
    end = time.monotonic() + DEADLINE_S
    while not (value := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return value


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
