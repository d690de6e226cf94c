"""The words of docs/glossary.md and the English of docstrings, held by reading the code's syntax trees."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("bus", "dispatcher", "worker", "logsink", "converter", "bench", "labelbus", "tools", "examples")
FILES = sorted(
    path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if not path.name.endswith("_pb2.py")
)
TESTS = sorted((ROOT / "tests").rglob("*.py"))

COY = re.compile(r"(What|Where|Who|Whom|Whose|How|It|Its|Nobody|Those|These|They|Whether|When|If)\b")
"""First words that leave the reader without the noun."""

OLD_NAMES = {
    "books": "RouterState",
    "prices": "CostModel",
    "matcher": "LateBindingScheduler",
    "spread": "RandomScheduler",
    "fleet": "WorkerLifecycle",
    "lineup": "Quarantine",
    "sharing": "Contention",
    "debt": "outstanding assignment",
    "debts": "outstanding assignments",
    "unclaimed": "unattributed",
    "flight": "InFlightRequest",
    "flights": "InFlightRequests",
    "directroute": "FastPathRoute",
    "gone_clients": "Disconnects",
}
"""Identifiers, lower case without underscores at the ends, and what the glossary has instead."""

OLD_MODULES = {
    *("books", "prices", "hits", "loads", "age", "restricted", "spread", "fleet", "sharing", "lineup"),
    *("matching", "debts", "unclaimed", "probes", "flights", "direct", "gone", "utils", "helpers", "common"),
}

OLD_PHRASES = re.compile(r"\b(taken? up|takes up|taking up|gives? up a label|anew)\b(?! memory)", re.IGNORECASE)


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of every docstring, those of attributes and constants among them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in node.body:
                value = statement.value if isinstance(statement, ast.Expr) else None
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield statement.lineno, value.value.strip()


def identifiers(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of every name that the module gives to something."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


@pytest.mark.parametrize("package", [*PACKAGES, "tests"])
def test_docstrings_begin_with_a_verb_or_with_a_noun(package):
    found = [
        f"{relative(path)}:{line} {text.splitlines()[0]}"
        for path in [*FILES, *TESTS]
        if path.is_relative_to(ROOT / package)
        for line, text in docstrings(ast.parse(path.read_text()))
        if COY.match(text)
    ]
    assert found == []


@pytest.mark.parametrize("package", PACKAGES)
def test_old_names_do_not_come_back(package):
    found = [
        f"{relative(path)}:{line} {name}: the word is {OLD_NAMES[name.strip('_').lower()]}"
        for path in FILES
        if path.is_relative_to(ROOT / package)
        for line, name in identifiers(ast.parse(path.read_text()))
        if name.strip("_").lower() in OLD_NAMES
    ]
    assert found == []


def test_old_modules_do_not_come_back():
    inside = [path for path in FILES if path.parts[len(ROOT.parts)] in {"bus", "dispatcher", "worker"}]
    assert [relative(path) for path in inside if path.stem in OLD_MODULES] == []


def test_labels_are_loaded_and_evicted():
    text_files = [*FILES, *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("k8s/**/*.yaml")]
    found = [
        f"{relative(path)}:{number} {line.strip()}"
        for path in text_files
        if path.name not in {"CHANGELOG.md", "0006-words.md"}  # which tell of the old words
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if OLD_PHRASES.search(line)
    ]
    assert found == []
