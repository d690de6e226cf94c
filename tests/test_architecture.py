"""Effects of importing a module: none, and no more packages than an image has. import-linter holds who imports whom."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("bus", "dispatcher", "worker", "logsink", "converter", "bench", "labelbus")
MODULES = sorted(
    path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if not path.name.endswith("_pb2.py") and "__pycache__" not in path.parts
)


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def at_import(tree: ast.Module) -> Iterator[ast.expr]:
    """Every expression that is evaluated when the module is imported: all but the bodies of functions."""
    todo: list[ast.AST] = [statement for statement in tree.body if not is_main(statement)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, ast.expr):
            yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            todo += [*node.decorator_list, *node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
        else:
            todo += ast.iter_child_nodes(node)


def is_main(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test)


WORK = ("os.environ", "os.getenv", "socket.", "subprocess.", "asyncio.run", "open(", "time.time", "time.monotonic")


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_importing_a_module_reads_no_environment_and_does_no_work(path):
    for node in at_import(ast.parse(path.read_text())):
        if isinstance(node, ast.Call | ast.Subscript | ast.Attribute):
            text = ast.unparse(node)
            assert not text.startswith(WORK), f"line {node.lineno}: {text}"
            assert not text.endswith((".read_text()", ".read_bytes()", ".exists()")), f"line {node.lineno}: {text}"


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("dispatcher.__main__", {"torch", "numpy", "tritonclient", "onnxruntime", "tokenizers", "transformers"}),
        ("labelbus", {"torch", "numpy", "tritonclient", "nats", "litestar"}),
        ("labelbus.__main__", {"torch", "numpy", "tritonclient", "nats", "litestar"}),
        ("logsink.__main__", {"torch", "numpy", "tritonclient", "litestar"}),
        ("worker.service", {"torch", "onnxruntime", "litestar", "transformers"}),
        ("converter.__main__", {"torch", "transformers", "optimum", "litestar"}),
    ],
)
def test_a_module_pulls_in_no_more_than_its_image_has(module, without):
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not without & set(ran.stdout.split())
