"""The code in the pages: Python is type-checked here and run in tests/e2e; commands and their flags exist."""

import re
import shlex
import subprocess
import sys

import click
import pytest

from labelbus.__main__ import COMMANDS
from labelbus.__main__ import main as labelbus
from tests.docs.code_blocks import PAGES, ROOT, Command, all_blocks, code_blocks, commands, typed_commands

RECIPES = set(re.findall(r"^([a-z][\w-]*)(?: [^:]*)?:(?!=)", (ROOT / "justfile").read_text(), re.MULTILINE))
LANGUAGES = {"python", "sh", "console", "json", "mermaid", "text", "promql", "hcl"}


def test_every_block_names_its_language():
    assert [str(block) for page in PAGES for block in code_blocks(page) if block.language not in LANGUAGES] == []


def test_python_is_typed_and_strict(tmp_path):
    files = [tmp_path / f"block_{number}.py" for number, _ in enumerate(all_blocks("python"))]
    assert files
    for file, block in zip(files, all_blocks("python"), strict=True):
        file.write_text(block.text)
    ran = subprocess.run([sys.executable, "-m", "mypy", *files], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize("block", all_blocks("sh", "console"), ids=str)
def test_shell_parses(block):
    subprocess.run(["bash", "-n"], input="\n".join(typed_commands(block)), text=True, check=True)


def starting_with(*names: str) -> list[Command]:
    return [command for command in commands() if command.text.split()[0] in names]


def flags_of(name: str) -> set[str]:
    found = labelbus.get_command(click.Context(labelbus), name)
    assert found is not None
    return {flag for parameter in found.params for flag in (*parameter.opts, *parameter.secondary_opts)}


def test_flags_in_the_text_exist():
    known = set[str]().union(*map(flags_of, COMMANDS))
    for package in ("bench", "tools"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text()
            known.update(re.findall(r'"(--[a-z][a-z-]+)', text))
            fields = re.findall(r"^    (\w+): ", text, re.MULTILINE)  # of settings that become flags
            known.update(f"--{name.replace('_', '-')}" for name in fields)
    for page in PAGES:
        prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for quoted in re.findall(r"`([^`\n]*)`", prose):
            if not quoted.startswith(("kubectl ", "aws ", "alias ")):
                flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", quoted))
                assert flags <= known, f"{page.relative_to(ROOT)}: {quoted}"


def test_commands_are_found():
    assert len(starting_with("labelbus")) > 7
    assert len(starting_with("just")) > 20


@pytest.mark.parametrize("command", starting_with("labelbus"), ids=str)
def test_labelbus_has_that_command_with_those_flags(command):
    name, *words = shlex.split(command.text)[1:]
    if name.startswith("-"):
        assert name in {"--version", "--help"}
        return
    if name == "<component>":
        return
    assert name in COMMANDS
    flags = {word.partition("=")[0] for word in words if word.startswith("-") and word != "-"}
    assert flags <= flags_of(name) | {"--help"}


@pytest.mark.parametrize("command", starting_with("just", "uvx"), ids=str)
def test_just_has_that_recipe(command):
    words = command.text.removeprefix("uvx --from rust-just ").split()
    assert words[0] == "just"
    recipe = next(word for word in words[1:] if "=" not in word)
    assert recipe in RECIPES
