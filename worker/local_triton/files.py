"""The search for the Triton of the wheel on this machine."""

import importlib.metadata
import importlib.util
import os
import platform
import sys
import sysconfig
from pathlib import Path
from typing import Final

import msgspec

BACKEND_MODEL: Final = Path(__file__).parent / "backend" / "onnxruntime" / "model.py"
"""The Python-based backend `onnxruntime`, which stands in for the official one."""

GUARD: Final = Path(__file__).parent / "guard.py"
"""The program that starts Triton and ends it with its worker."""

_PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"


class LocalTritonFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Paths of the wheel's Triton and of the parts of this Python that it needs; all of them exist."""

    server: Path
    libraries: Path
    """The folder of the wheel's shared libraries."""
    python_backend: Path
    """The folder of Triton's Python backend, without the stub."""
    stub: Path
    """The stub process of the running Python version."""
    python_library: Path
    """The folder of libpython, which the stub links."""
    python_bin: Path
    """The folder whose `python3` is this interpreter: the stub uses the packages from there."""


class MissingTriton(msgspec.Struct, frozen=True):
    """No Triton on this machine; `reason` says what would help."""

    reason: str


def find_local_triton() -> LocalTritonFiles | MissingTriton:
    """Return the wheel's Triton with everything it needs to serve ONNX graphs, or the first part that is missing."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return MissingTriton(
            f"the Triton of the wheel is for Linux on x86-64, this is {platform.system()} on {platform.machine()}"
        )
    spec = importlib.util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        return MissingTriton("nvidia-pytriton is not installed: pip install --no-deps nvidia-pytriton==0.7.0")
    if importlib.util.find_spec("onnxruntime") is None:
        return MissingTriton("onnxruntime is not installed, which Triton's backend runs on: pip install onnxruntime")
    if (numpy := importlib.metadata.version("numpy")).split(".")[0] != "1":
        # Triton's Python backend would load models, and answer with empty outputs without an error.
        return MissingTriton(f"the Triton of the wheel needs numpy 1, this is {numpy}: pip install 'numpy>=1.26,<2'")
    package = Path(spec.submodule_search_locations[0])
    python_library = _python_library_folder()
    if python_library is None:
        return MissingTriton(
            f"libpython{_PYTHON}.so.1.0 is missing, which Triton's Python backend links: "
            f"apt install libpython{_PYTHON}, or take a Python that has it"
        )
    files = LocalTritonFiles(
        server=package / "tritonserver" / "bin" / "tritonserver",
        libraries=package.parent / "nvidia_pytriton.libs",
        python_backend=package / "tritonserver" / "backends" / "python",
        stub=package / "tritonserver" / "python_backend_stubs" / _PYTHON / "triton_python_backend_stub",
        python_library=python_library,
        python_bin=Path(sys.executable).parent,
    )
    for path in (files.libraries, files.python_backend):
        if not path.is_dir():
            return MissingTriton(f"{path} is missing: install nvidia-pytriton again")
    for path in (files.server, files.stub, files.python_bin / "python3"):
        if not os.access(path, os.X_OK):
            return MissingTriton(f"{path} is missing or cannot be executed")
    return files


def _python_library_folder() -> Path | None:
    """Return the folder of this interpreter's libpython: its own, or the one of Debian's package."""
    library = f"libpython{_PYTHON}.so.1.0"
    candidates = (
        sysconfig.get_config_var("LIBDIR"),
        f"{sys.base_prefix}/lib",
        f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}",
    )
    return next((Path(folder) for folder in candidates if folder and (Path(folder) / library).is_file()), None)
