"""Containers on their own network, with the security settings of the chart's pods."""

import contextlib
import time
import uuid
from collections.abc import Callable
from typing import Any

import docker

LOCKED_UP = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "tmpfs": {"/tmp": "mode=1777"},
}


class Network:
    """Containers that reach each other by name; `close` removes them, the network and its volumes."""

    def __init__(self) -> None:
        self.name = f"labelbus-test-{uuid.uuid4().hex[:8]}"
        self.client = docker.from_env(timeout=300)
        self._open = contextlib.ExitStack()
        self._open.callback(self.client.close)
        network = self.client.networks.create(self.name)
        self._open.callback(network.remove)

    def volume(self, name: str) -> str:
        volume = self.client.volumes.create(f"{self.name}-{name}")
        self._open.callback(volume.remove, force=True)
        return str(volume.name)

    def run(self, name: str, image: str, **options: Any) -> Any:
        """Run a container that the others reach as `name`, unless it shares the network of another one."""
        where = {} if "network_mode" in options else {"network": self.name, "hostname": name}
        container = self.client.containers.create(image, name=f"{self.name}-{name}", **where, **LOCKED_UP, **options)
        self._open.callback(container.remove, force=True, v=True)
        if "network" in where:
            network = self.client.networks.get(self.name)
            network.disconnect(container)
            network.connect(container, aliases=[name])
        container.start()
        container.reload()
        return container

    def close(self) -> None:
        self._open.close()


def until(condition: Callable[[], object], what: str, deadline_s: float = 90) -> None:
    """Return when the condition holds; fail after the deadline."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"not within {deadline_s:g} s: {what}"
        time.sleep(0.25)


def published(container: Any, port: int) -> str:
    """Return the address of a container's port on this machine."""
    container.reload()
    (binding, *_) = container.ports[f"{port}/tcp"]
    return f"127.0.0.1:{binding['HostPort']}"


def passes(container: Any, command: list[str]) -> bool:
    return bool(container.exec_run(command).exit_code == 0)
