"""The Ray Serve application as a process: started in the environment that has Ray, stopped with all its children."""

import asyncio
import os
import secrets
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import psutil

from bench.peers.settings import PeersSettings
from bus.errors import UnavailableError
from labelbus.stack.ports import free_ports
from labelbus.stack.process import StackProcess

APP: Final = Path(__file__).with_name("ray_app.py")
GRACE_S: Final = 30.0
"""Time that Ray may take to stop its processes by itself."""
CHILDREN_S: Final = 5.0
VERSION_TIMEOUT_S: Final = 60.0


class RayServe(msgspec.Struct, frozen=True, kw_only=True):
    """A running application."""

    url: str
    loads_file: Path

    def loads(self) -> int:
        """Count the loads so far: the application adds a line to a file for each."""
        return len(self.loads_file.read_bytes().splitlines()) if self.loads_file.exists() else 0


@asynccontextmanager
async def running_ray(settings: PeersSettings, name: str) -> AsyncIterator[RayServe]:
    """Yield the application with nothing loaded; stop it and all that it started at the end, whatever happens.

    `UnavailableError` if the environment is not there or the application does not start.
    """
    # Ray makes sockets in this folder, whose paths may have 107 characters at most.
    short = "/tmp" if Path("/tmp").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="lb-ray-", dir=short, ignore_cleanup_errors=True) as made:
        folder = Path(made)
        (port,) = free_ports((0, ""))
        options = {
            "port": port,
            "temp": str(folder / "r"),
            "health": str(folder / f"{name}.health"),
            "loads": str(folder / "loads.jsonl"),
            "replicas": settings.workers,
            "capacity": settings.capacity,
            "slots": settings.slots,
            "ongoing": settings.ray_ongoing,
            "load_s": settings.load_ms / 1000,
        }
        argv = [str(python_of(settings)), str(APP), msgspec.json.encode(options).decode()]
        process = StackProcess(name, argv, folder, env=environment(), grace_s=GRACE_S)
        try:
            await process.start()
            await process.ready(settings.start_timeout_s)
            yield RayServe(url=f"http://127.0.0.1:{port}", loads_file=folder / "loads.jsonl")
        finally:
            await asyncio.shield(_stop(process))


def python_of(settings: PeersSettings) -> Path:
    """Return the Python that has Ray; `UnavailableError` if there is none."""
    # The path is not resolved: a virtual environment's Python is a link, and its name says which environment it is.
    python = settings.ray_python.absolute()
    if not python.exists():
        raise UnavailableError(
            f"there is no {settings.ray_python}: `just bench-peers` makes the environment of Ray Serve; "
            "name another one with --ray-python, or leave Ray out with --no-ray"
        )
    return python


def ray_version(python: Path) -> str:
    """Return the version of Ray in an environment; `UnavailableError` if there is none."""
    code = "from importlib.metadata import version; print(version('ray'))"
    try:
        done = subprocess.run(
            [str(python), "-I", "-c", code], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as exc:
        raise UnavailableError(
            f"{python} has no Ray Serve: remove the environment, and `just bench-peers` makes it"
        ) from exc
    return done.stdout.strip()


def environment() -> dict[str, str]:
    """Return the variables of the application's process: usage statistics are off, and Ray's address is loopback."""
    left_out = ("LABELBUS_", "RAY_", "PYTHON", "VIRTUAL_ENV")
    env = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
    return env | {
        "PYTHONUNBUFFERED": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray takes the machine's outside address where clusters are enabled, whatever address it is given.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        # A token of this run: Ray would write one to the home folder.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }


async def _stop(process: StackProcess) -> None:
    children = _children(process.pid)
    await process.stop()
    await asyncio.to_thread(_end, children)


def _children(pid: int | None) -> list[psutil.Process]:
    try:
        return [] if pid is None else psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _end(children: Sequence[psutil.Process]) -> None:
    """Kill those children that do not end by themselves; some of Ray's outlive their parent for a while."""
    _, alive = psutil.wait_procs(children, timeout=CHILDREN_S)
    for child in alive:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(alive, timeout=CHILDREN_S)
