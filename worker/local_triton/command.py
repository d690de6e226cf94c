"""The command line, the environment and the backend folder of the wheel's Triton."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from worker.local_triton.files import BACKEND_MODEL, LocalTritonFiles

SHM_BYTES: Final = 1 << 20
"""Shared memory that a model's tensors begin with. Triton's default of 64 MiB is all that a container has."""

_SOCKET: Final = "grpc"
_PORT: Final = 8001


class LocalTritonOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a Triton that a worker starts."""

    model_repository: Path
    threads: int = 0
    """Threads of one run of one model; 0 leaves it to ONNX Runtime, which uses one per core."""
    log_file: Path | None = None
    """File to which Triton's own log is appended; if None, its lines become log records of level DEBUG."""
    grace_s: float = 1.0
    """Time for Triton to end before it is killed. With models loaded it would need 2 s, and has nothing to save."""


def grpc_target(folder: Path) -> str:
    """Return the gRPC target of a Triton that runs in this folder: a Unix socket.

    So no two servers compete for a port, and only the owner of the folder has access: Triton knows no passwords.
    """
    return f"unix:{folder / _SOCKET}:{_PORT}"


def server_command(files: LocalTritonFiles, options: LocalTritonOptions, folder: Path, shm_prefix: str) -> list[str]:
    """Return the command that serves the model repository from `folder`, with explicit model control, gRPC only."""
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
        # Triton joins address and port with a colon, which gives the name of the socket's file.
        f"--grpc-address=unix:{folder / _SOCKET}",
        f"--grpc-port={_PORT}",
        f"--backend-config=python,shm-default-byte-size={SHM_BYTES}",
        f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
        f"--exit-timeout-secs={max(1, int(options.grace_s))}",
    ]


def server_environment(
    files: LocalTritonFiles, options: LocalTritonOptions, environment: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of the server and its stubs, made from the given one."""
    return {
        **environment,
        # The stub embeds the interpreter whose `python3` comes first on PATH, virtual environments included.
        "PATH": os.pathsep.join(filter(None, [str(files.python_bin), environment.get("PATH", os.defpath)])),
        "LD_LIBRARY_PATH": os.pathsep.join(
            filter(None, [str(files.libraries), str(files.python_library), environment.get("LD_LIBRARY_PATH", "")])
        ),
        "LABELBUS_ONNX_THREADS": str(options.threads),
        "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime 1.32 writes a file under the home folder and sends its usage
    }


def write_backends(files: LocalTritonFiles, folder: Path) -> None:
    """Make the backend folder, of copies: Triton refuses a library that is a link to one outside the folder."""
    python = folder / "backends" / "python"
    shutil.copytree(files.python_backend, python)
    shutil.copy(files.stub, python)
    onnxruntime = folder / "backends" / "onnxruntime"
    onnxruntime.mkdir()
    shutil.copy(BACKEND_MODEL, onnxruntime)
