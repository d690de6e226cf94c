"""Real NATS servers for tests."""

import functools
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Protocol, TextIO


class NatsServer(Protocol):
    @property
    def url(self) -> str: ...

    def start(self) -> None: ...
    def close(self) -> None: ...


class LocalNats:
    """The nats-server of the wheel, with JetStream on disk; a restart keeps port and store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = -1
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        binary = Path(sys.prefix) / "bin" / "nats-server"
        process = self._process = subprocess.Popen(
            [binary, "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", self.folder / "store"],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if found := re.search(r"Listening for client connections on .*:(\d+)", line):
                self.port = int(found[1])
            if "Server is ready" in line:
                self._reader = threading.Thread(target=self._keep_log, args=(process.stderr,))
                self._reader.start()
                return
        raise AssertionError("nats-server did not start:\n" + "".join(lines))

    def _keep_log(self, lines: TextIO) -> None:
        with (self.folder / "log").open("a") as log, lines:
            log.writelines(lines)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(timeout=20)
        self._reader.join()

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop(signal.SIGKILL)


class ContainerNats:
    """The official image through testcontainers."""

    url = ""
    image = os.environ.get("LABELBUS_TEST_NATS_IMAGE", "nats:2.15-alpine")

    def start(self) -> None:
        from testcontainers.community.nats import NatsContainer

        self._container = NatsContainer(self.image, jetstream=True)
        self._container.start()
        self.url = self._container.nats_uri()

    def close(self) -> None:
        if hasattr(self, "_container"):
            self._container.stop()


@functools.cache
def docker_answers() -> bool:
    """True if a Docker API answers. Asked in a process of its own: docker-py leaves a socket open when none does."""
    ask = "import docker; docker.from_env(timeout=5).ping()"
    return subprocess.run([sys.executable, "-c", ask], stderr=subprocess.DEVNULL, check=False).returncode == 0
