"""The code in the pages: fenced blocks, the commands in them, and commands quoted in the text."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "k8s/**/*.md", "tf/**/*.md")
    for path in ROOT.glob(pattern)
    if ".terraform" not in path.parts and path.name != "CHANGELOG.md"  # which also tells of what is no more
)


class CodeBlock(NamedTuple):
    """A fenced block; `line` is that of its first line of code."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


class Command(NamedTuple):
    """A command that a page tells its reader to run."""

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where} {self.text[:40]}"


def code_blocks(page: Path) -> Iterator[CodeBlock]:
    """Every fenced block of a page."""
    name, text = str(page.relative_to(ROOT)), page.read_text()
    for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield CodeBlock(name, text.count("\n", 0, found.start(2)) + 1, found[1], found[2])


def all_blocks(*languages: str) -> list[CodeBlock]:
    """The blocks of all pages that are in one of the languages."""
    return [block for page in PAGES for block in code_blocks(page) if block.language in languages]


def typed_commands(block: CodeBlock) -> list[str]:
    """Return what a reader types: the lines of a `sh` block, or what follows the prompts of a `console` block."""
    typed: list[str] = []
    started = ""
    for line in block.text.splitlines():
        if started:
            started += "\n" + line
        elif block.language != "console":
            started = line
        elif line.startswith("$ "):
            started = line.removeprefix("$ ")
        if started and is_whole(started):
            typed.append(started)
            started = ""
    assert not started, f"{block} ends within a command"
    return typed


def is_whole(command: str) -> bool:
    """Return whether no quotation and no continued line is open."""
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return False
    return not command.endswith("\\")


def simple_commands(typed: str) -> Iterator[list[str]]:
    """The words of each command in a line, which may have several with `;`, `&&` or `|` between them."""
    lexer = shlex.shlex(typed.replace("\\\n", " "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    for token in [*lexer, ";"]:
        if set(token) <= set(";&|()"):
            if words:
                yield words
            words = []
        else:
            words.append(token)


def commands() -> Iterator[Command]:
    """Every simple command of the shell blocks, and every `labelbus …` or `just …` quoted in the text."""
    for block in all_blocks("sh", "console"):
        for typed in typed_commands(block):
            for words in simple_commands(typed):
                yield Command(str(block), shlex.join(words))
    for page in PAGES:
        prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for found in re.finditer(r"`((?:labelbus|just) [^`]+)`", prose):
            yield Command(page.name, " ".join(found[1].split()))
