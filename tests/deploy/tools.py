"""Programs that check the deployment: from `.venv-deploy` (`just deploy-tools`), else from PATH."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".venv-deploy" / "bin"


def find(program: str) -> Path | None:
    ours = TOOLS / program
    if ours.exists():
        return ours
    on_path = shutil.which(program)
    return Path(on_path) if on_path else None


def need(program: str, where_from: str = "`just deploy-tools` brings it") -> Path:
    """Return the program, or skip and say where to get it."""
    path = find(program)
    if path is None:
        pytest.skip(f"{program} is not installed: {where_from}")
    return path


def run(
    *command: str | Path, cwd: Path = ROOT, environment: Mapping[str, str] | None = None, timeout_s: float = 300
) -> subprocess.CompletedProcess[str]:
    """Return the command's outcome, whatever it is; stdout and stderr as text."""
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def succeed(*command: str | Path, cwd: Path = ROOT, environment: Mapping[str, str] | None = None) -> str:
    """Return what the command printed; fail the test if the command fails."""
    outcome = run(*command, cwd=cwd, environment=environment)
    assert outcome.returncode == 0, f"{' '.join(map(str, command))}\n{outcome.stdout}\n{outcome.stderr}"
    return outcome.stdout
