"""Rules of the router's state: each field of a worker has one owner, and predicates only ask."""

import ast
import inspect
import textwrap
from collections import defaultdict
from pathlib import Path

import pytest

import dispatcher.router
from dispatcher.router.state.workers import Worker

ROOT = Path(dispatcher.router.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
CHANGES = {"pop", "clear", "update", "setdefault", "append", "popitem"}
OWNERS = {
    "assignments": "state",
    "assigned_loads": "state",
    "places": "state",
    "ends": "state",
    "open_passes": "state",
    "labels": "state",
    "loading": "state",
    "synced_labels": "state",
    "free_at": "state",
    "room": "workers",
    "load_room": "workers",
    "draining": "pool",
    "task_types": "pool",
    "idle_index": "pool",
    "counted_slots": "pool",
    "wake_at": "timers",
    "view": "reconcile",
    "epoch_ms": "reconcile",
    "revision": "reconcile",
    "slots": "reconcile",
    "window": "reconcile",
    "capacity": "reconcile",
    "pass_tasks": "reconcile",
    "pass_types": "reconcile",
    "kind": "reconcile",
    "foreign": "contention",
    "foreign_loads": "contention",
    "slice_since": "contention",
    "yielding": "contention",
    "load_not_before": "contention",
    "retry_delay_s": "contention",
    "paused": "health",
    "pause_s": "health",
    "broken": "health",
    "broken_pause_s": "health",
    "false_bounces": "health",
    "false_bounces_since": "health",
    "worker_id": "workers",
}


def targets(node):
    """Every attribute that the statement writes, as (object, attribute); containers that it changes among them."""
    written = []
    if isinstance(node, ast.Assign):
        written = node.targets
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        written = [node.target]
    elif isinstance(node, ast.Delete):
        written = node.targets
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGES:
        written = [node.func.value] if isinstance(node.func.value, ast.Attribute) else []
    for target in written:
        for part in target.elts if isinstance(target, ast.Tuple) else [target]:
            inner = part.value if isinstance(part, ast.Subscript) else part
            if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name):
                yield inner.value.id, inner.attr


def writers():
    """The modules that write each field of a worker: through a variable, or in the class itself."""
    found = defaultdict(set)
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            for owner, field in targets(node):
                if owner in {"worker", "sleeper", "subject", "last"} and field in Worker.__slots__:
                    found[field].add(path.stem)
    return found


def test_each_field_of_a_worker_is_listed_with_its_owner():
    assert set(OWNERS) == set(Worker.__slots__)


@pytest.mark.parametrize("field", sorted(OWNERS))
def test_no_module_but_its_owner_writes_the_field(field):
    assert writers()[field] <= {OWNERS[field]}


def test_the_search_finds_writes_of_all_kinds():
    source = textwrap.dedent(inspect.getsource(_writes))
    found = {pair for node in ast.walk(ast.parse(source)) for pair in targets(node)}
    assert found == {("worker", name) for name in ("a", "b", "c", "d", "e", "f", "g")}


def _writes(worker):
    worker.a = 1
    worker.b += 1
    worker.c[1] = 2
    del worker.d[1]
    worker.e.pop(1)
    worker.f, worker.g = 1, 2


STATE_CHANGES = {"send", "send_any", "send_load", "reject", "reject_late", "take_back", "set", "wake", "wake_earlier"}


def test_what_returns_a_bool_only_asks():
    acting = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef) or ast.unparse(node.returns or ast.Constant(None)) != "bool":
                continue
            for inner in ast.walk(node):
                called = (
                    inner.func.attr if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) else ""
                )
                written = [field for owner, field in targets(inner) if owner != "self"]
                if called in STATE_CHANGES or written:
                    acting.append(f"{path.stem}.{node.name}: {called or written}")
    assert not acting
