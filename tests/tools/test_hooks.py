"""The pre-commit hooks: the same tools as `just check`, all of them local."""

import re
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())


def tools_of_check() -> list[str]:
    """Names of the commands in the recipe `check`."""
    recipe = re.search(r"^check:.*\n((?:    .*\n)+)", (ROOT / "justfile").read_text(), re.MULTILINE)
    assert recipe is not None
    return re.findall(r"\{\{ bin \}\}/([\w-]+(?: (?:check|format))?)", recipe[1])


def test_hooks_run_what_check_runs():
    (repository,) = HOOKS["repos"]
    assert repository["repo"] == "local"
    entries = [hook["entry"] for hook in repository["hooks"]]
    assert (
        re.findall(r"^\.venv/bin/([\w-]+(?: (?:check|format))?)", "\n".join(entries), re.MULTILINE) == tools_of_check()
    )
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}


def test_pre_commit_takes_the_configuration():
    subprocess.run(["uvx", "pre-commit", "validate-config"], cwd=ROOT, check=True)
