"""How the wheel's Triton is called: its command line, its environment and its backend folder."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from worker.local_triton.files import BACKEND_MODEL, LocalTritonFiles

SHM_BYTES: Final = 1 << 20
"""What one model's tensors first get of shared memory. Triton's default of 64 MiB is all a container has."""

_SOCKET: Final = "grpc"
_PORT: Final = 8001


class LocalTritonOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker says of the Triton it starts."""

    model_repository: Path
    threads: int = 0
    """Threads of one run of one model; 0 leaves it to ONNX Runtime, which takes one per core."""
    log_file: Path | None = None
    """Triton's own log is appended to it; without it, it becomes log records of level DEBUG."""
    grace_s: float = 1.0
    """How long Triton may take to end before it is killed. With models loaded it takes 2 s, and has nothing to save."""


def grpc_target(folder: Path) -> str:
    """The gRPC target of a Triton that runs in this folder: a Unix socket.

    No two can meet on one port, and only the owner of the folder gets in: Triton asks nobody for a password.
    """
    return f"unix:{folder / _SOCKET}:{_PORT}"


def server_command(files: LocalTritonFiles, options: LocalTritonOptions, folder: Path, shm_prefix: str) -> list[str]:
    """The command that serves the model repository, with `folder` as its own; explicit model control, gRPC only."""
    return [
        str(files.server),
        f"--model-repository={options.model_repository.absolute()}",
        f"--backend-directory={folder / 'backends'}",
        "--model-control-mode=explicit",
        "--disable-auto-complete-config",
        "--strict-readiness=false",
        "--model-load-thread-count=4",
        "--allow-http=false",
        "--allow-metrics=false",
        "--allow-gpu-metrics=false",
        # Triton joins address and port with a colon, which makes a file's name here.
        f"--grpc-address=unix:{folder / _SOCKET}",
        f"--grpc-port={_PORT}",
        f"--backend-config=python,shm-default-byte-size={SHM_BYTES}",
        f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
        f"--exit-timeout-secs={max(1, int(options.grace_s))}",
    ]


def server_environment(
    files: LocalTritonFiles, options: LocalTritonOptions, environment: Mapping[str, str]
) -> dict[str, str]:
    """The environment of the server and its stubs, made from the one given."""
    return {
        **environment,
        # The stub embeds the interpreter whose `python3` comes first on PATH, virtual environments included.
        "PATH": os.pathsep.join(filter(None, [str(files.python_bin), environment.get("PATH", os.defpath)])),
        "LD_LIBRARY_PATH": os.pathsep.join(
            filter(None, [str(files.libraries), str(files.python_library), environment.get("LD_LIBRARY_PATH", "")])
        ),
        "LABELBUS_ONNX_THREADS": str(options.threads),
        "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime 1.32 writes a file under the home folder and sends what it did
    }


def write_backends(files: LocalTritonFiles, folder: Path) -> None:
    """Put the backend folder together; copies, for Triton refuses a library that a link leads out of it."""
    python = folder / "backends" / "python"
    shutil.copytree(files.python_backend, python)
    shutil.copy(files.stub, python)
    onnxruntime = folder / "backends" / "onnxruntime"
    onnxruntime.mkdir()
    shutil.copy(BACKEND_MODEL, onnxruntime)
