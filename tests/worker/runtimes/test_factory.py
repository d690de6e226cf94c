import subprocess
import sys
from pathlib import Path

import pytest
from loguru import logger

from bus.command import build
from bus.errors import InvalidInputError, RuntimeUnavailableError
from worker.local_triton.files import MissingTriton
from worker.runtimes import factory
from worker.runtimes.factory import make_runtime
from worker.runtimes.onnx import OnnxRuntime
from worker.runtimes.settings import RuntimeSettings
from worker.runtimes.simulated import SimulatedRuntime
from worker.runtimes.triton import TritonRuntime


@pytest.fixture
def no_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factory, "find_local_triton", lambda: MissingTriton("none was made for this machine"))


@pytest.mark.usefixtures("no_triton")
@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        (RuntimeSettings(runtime="simulated"), SimulatedRuntime),
        (RuntimeSettings(runtime="onnx"), OnnxRuntime),
        (RuntimeSettings(runtime="onnx", triton_url="there:8001"), OnnxRuntime),
        (RuntimeSettings(runtime="triton", triton_url="there:8001"), TritonRuntime),
        (RuntimeSettings(triton_url="there:8001"), TritonRuntime),
        (RuntimeSettings(), OnnxRuntime),
    ],
)
def test_settings_choose_the_runtime(settings: RuntimeSettings, kind: type) -> None:
    assert type(make_runtime(settings)) is kind


@pytest.mark.usefixtures("no_triton")
def test_auto_says_why_it_came_to_onnx() -> None:
    records: list[str] = []
    sink = logger.add(lambda message: records.append(str(message.record["extra"])), level="WARNING")
    make_runtime(RuntimeSettings())
    logger.remove(sink)

    assert ["none was made for this machine" in record for record in records] == [True]


@pytest.mark.usefixtures("no_triton")
def test_triton_that_cannot_be_had_says_what_to_do() -> None:
    with pytest.raises(RuntimeUnavailableError, match=r"none was made .* --triton-url .* --runtime onnx"):
        make_runtime(RuntimeSettings(runtime="triton"))


@pytest.mark.parametrize("values", [{"runtime": "tensorrt"}, {"threads": -1}, {"triton_grace_s": 0}])
def test_settings_that_make_no_sense_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(values)).replace("_", "-")):
        build(RuntimeSettings, values)


def test_onnx_runtime_writes_nothing_of_its_own_under_the_home_folder(repository: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    script = (
        "import asyncio, sys; from pathlib import Path; from worker.runtimes.onnx import OnnxRuntime\n"
        "async def main():\n"
        "    runtime = OnnxRuntime(Path(sys.argv[1])); await runtime.start(); await runtime.load('org/one')\n"
        "    await runtime.stop()\n"
        "asyncio.run(main())"
    )

    subprocess.run([sys.executable, "-c", script, str(repository)], env={"HOME": str(home)}, check=True, timeout=60)

    assert list(home.rglob("*")) == []
