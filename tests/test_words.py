"""The words of docs/glossary.md, held by reading the code's syntax trees."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("bus", "dispatcher", "worker", "logsink", "converter", "bench", "labelbus", "tools", "examples")
FILES = sorted(
    path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if not path.name.endswith("_pb2.py")
)

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


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


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
