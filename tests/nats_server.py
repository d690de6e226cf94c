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

START_ONE = """
import sys, docker
client = docker.from_env(timeout=60)
image, ports = sys.argv[1], {"4222/tcp": ("127.0.0.1", None)}
try:
    container = client.containers.create(image, ports=ports)
except docker.errors.ImageNotFound:
    client.images.pull(image)
    container = client.containers.create(image, ports=ports)
try:
    container.start()
finally:
    container.remove(force=True)
"""


class NatsServer(Protocol):
    @property
    def url(self) -> str: ...

    def start(self) -> None: ...
    def close(self) -> None: ...


class LocalNats:
    """The nats-server of the wheel, with JetStream on disk; a restart keeps port and store."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.arguments = arguments
        self.port = -1
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        binary = Path(sys.prefix) / "bin" / "nats-server"
        process = self._process = subprocess.Popen(
            [binary, "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", self.folder / "store", *self.arguments],
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
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.wait_strategies import LogMessageWaitStrategy

        # Not testcontainers' NatsContainer: importing it warns of its own deprecated decorator.
        self._container = DockerContainer(self.image).with_command("-js").with_exposed_ports(4222)
        self._container.waiting_for(LogMessageWaitStrategy("Server is ready")).start()
        self.url = f"nats://{self._container.get_container_host_ip()}:{self._container.get_exposed_port(4222)}"

    def close(self) -> None:
        if hasattr(self, "_container"):
            self._container.stop()


@functools.cache
def why_no_containers() -> str:
    """Return what prevents containers here; "" if a Docker API answers and starts one with a published port.

    Asked in a process of its own: docker-py leaves a socket open when nobody answers.
    """
    ask = [sys.executable, "-c", START_ONE, ContainerNats.image]
    asked = subprocess.run(ask, stderr=subprocess.PIPE, text=True, check=False)
    return "" if asked.returncode == 0 else asked.stderr.strip().splitlines()[-1]
