"""The real MiniLM, converted once a test run by `labelbus convert`, for every test in every process that needs it.

A conversion takes 15 s of processor time and a gigabyte: the first test to ask makes it, the others find it.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec
import pytest

from bus.model_repository import ModelEntry

MINILM: Final = "sentence-transformers/all-MiniLM-L6-v2"


class ConvertedMinilm(msgspec.Struct, frozen=True):
    """The outcome of the command, and the repository it wrote to, which is shared: read only."""

    repository: Path
    status: int
    stdout: str
    stderr: str

    @property
    def entry(self) -> ModelEntry:
        """The entry of the model; fails the test if the conversion failed."""
        assert self.status == 0, self.stderr
        return ModelEntry(self.repository, MINILM)

    def copy_to(self, repository: Path) -> None:
        """Put the entry into another repository; its files are hard links."""
        shutil.copytree(self.entry.folder, ModelEntry(repository, MINILM).folder, copy_function=os.link)


def convert_once(tmp_path_factory: pytest.TempPathFactory) -> ConvertedMinilm:
    """Return the conversion of this test run, made now if no process has made it; a failed one is not repeated."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "minilm"
    shared.mkdir(exist_ok=True)
    outcome = shared / "outcome.json"
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not outcome.exists():
            outcome.write_bytes(msgspec.json.encode(_convert(shared / "repository"), enc_hook=str))
    return msgspec.json.decode(outcome.read_bytes(), type=ConvertedMinilm, dec_hook=lambda kind, value: kind(value))


def _convert(repository: Path) -> ConvertedMinilm:
    done = subprocess.run(
        [sys.executable, "-m", "converter.command", MINILM, "--model-repository", str(repository), "--json"],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return ConvertedMinilm(repository, done.returncode, done.stdout, done.stderr)
