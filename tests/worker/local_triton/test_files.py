import importlib.metadata
import importlib.util
import platform
import sys
import sysconfig
from pathlib import Path

import msgspec
import pytest

from worker.local_triton.command import LocalTritonOptions, server_command, server_environment, write_backends
from worker.local_triton.files import BACKEND_MODEL, LocalTritonFiles, MissingTriton, find_local_triton

FILES = LocalTritonFiles(
    server=Path("/wheel/tritonserver"),
    libraries=Path("/wheel/libs"),
    python_backend=Path("/wheel/python"),
    stub=Path("/wheel/stub"),
    python_library=Path("/python/lib"),
    python_bin=Path("/venv/bin"),
)


def reason() -> str:
    found = find_local_triton()
    assert isinstance(found, MissingTriton)
    return found.reason


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Linux", "aarch64"), ("Windows", "AMD64")])
def test_another_machine_has_none(monkeypatch: pytest.MonkeyPatch, system: str, machine: str) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)

    assert f"{system} on {machine}" in reason()


@pytest.fixture
def linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


@pytest.mark.usefixtures("linux")
@pytest.mark.parametrize(("package", "named"), [("pytriton", "nvidia-pytriton"), ("onnxruntime", "onnxruntime")])
def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, package: str, named: str) -> None:
    find_spec = importlib.util.find_spec
    present = find_spec("json")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else present)

    assert f"{named} is not installed" in reason()


@pytest.mark.usefixtures("linux")
def test_numpy_2_is_refused_for_its_answers_would_be_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    present = importlib.util.find_spec("json")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: present)
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "2.3.4")

    assert "numpy 1, this is 2.3.4" in reason()


@pytest.mark.triton
def test_a_python_without_its_library_is_told_which_package_has_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if not isinstance(find_local_triton(), LocalTritonFiles):
        pytest.skip("no Triton in this environment")
    monkeypatch.setattr(sysconfig, "get_config_var", lambda _: str(tmp_path))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))

    assert f"apt install libpython3.{sys.version_info.minor}" in reason()


def test_the_command_serves_on_a_socket_in_its_own_folder_and_nowhere_else(tmp_path: Path) -> None:
    options = LocalTritonOptions(model_repository=Path("models"))

    command = server_command(FILES, options, tmp_path, "labelbus-1-")

    assert command[0] == "/wheel/tritonserver"
    assert f"--model-repository={Path.cwd() / 'models'}" in command
    assert f"--grpc-address=unix:{tmp_path}/grpc" in command
    assert {"--allow-http=false", "--allow-metrics=false", "--model-control-mode=explicit"} <= set(command)
    assert "--backend-config=python,shm-region-prefix-name=labelbus-1-" in command


def test_the_environment_puts_this_interpreter_first_and_keeps_the_rest() -> None:
    options = LocalTritonOptions(model_repository=Path("models"), threads=2)

    environment = server_environment(FILES, options, {"PATH": "/usr/bin", "LD_LIBRARY_PATH": "/mine", "HOME": "/h"})

    assert environment == {
        "PATH": "/venv/bin:/usr/bin",
        "LD_LIBRARY_PATH": "/wheel/libs:/python/lib:/mine",
        "HOME": "/h",
        "LABELBUS_ONNX_THREADS": "2",
        "ORT_DISABLE_TELEMETRY": "1",
    }


def test_the_backend_folder_holds_copies_with_the_stub_beside_the_library(tmp_path: Path) -> None:
    wheel = tmp_path / "python"
    wheel.mkdir()
    (wheel / "libtriton_python.so").write_text("library")
    stub = tmp_path / "triton_python_backend_stub"
    stub.write_text("stub")
    stub.chmod(0o755)
    found = msgspec.structs.replace(FILES, python_backend=wheel, stub=stub)

    write_backends(found, tmp_path)

    backends = tmp_path / "backends"
    assert (backends / "python" / stub.name).stat().st_mode & 0o111
    assert not (backends / "python" / "libtriton_python.so").is_symlink()
    assert (backends / "onnxruntime" / "model.py").read_text() == BACKEND_MODEL.read_text()
