"""Search for NaN and infinity in answers: JSON has no such numbers, and encoders write `null` for them in silence."""

import json
import math
from typing import Any

import msgspec

from bus.errors import WorkerError

_RAW: tuple[type, ...] = (msgspec.Raw,)


def check_finite(name: str, answer: Any) -> None:
    """Raise a `WorkerError` with the path of the first NaN or infinity in what a handler returned."""
    _search(name, msgspec.to_builtins(answer, builtin_types=_RAW, str_keys=True))


def check_finite_json(name: str, output: bytes) -> None:
    """Raise a `WorkerError` if a handler's own JSON contains NaN or Infinity, which Python's `json.dumps` writes."""
    # One byte is looked for ten times as fast as a word, and an output of numbers has neither.
    if not ((b"N" in output and b"NaN" in output) or (b"I" in output and b"Infinity" in output)):
        return
    try:
        answer = json.loads(output)
    except (ValueError, RecursionError) as exc:
        raise WorkerError(f"{name} returned bytes that are not JSON: {exc}") from exc
    _search(name, answer)


def has_null(output: bytes) -> bool:
    """Return whether `null` is in the output: only then may there be a NaN or infinity in what was encoded.

    Outputs of numbers are searched for a single byte only.
    """
    return b"u" in output and b"null" in output


def path_of_non_finite(value: Any) -> str:
    """Return the path of the first NaN or infinity in JSON-like values (`$.scores[3]`), or "" if there is none."""
    containers = [("$", value)]
    while containers:
        path, container = containers.pop()
        found = []
        for key, item in _items(container):
            if isinstance(item, float):
                if not math.isfinite(item):
                    return path + _step(key)
            elif isinstance(item, dict | list | tuple):
                found.append((path + _step(key), item))
        containers.extend(reversed(found))
    return ""


def _search(name: str, answer: Any) -> None:
    path = "$" if isinstance(answer, float) and not math.isfinite(answer) else path_of_non_finite(answer)
    if path:
        raise WorkerError(
            f"{name} returned a number that is NaN or infinite at `{path}`, and JSON has none: return a finite number "
            "or None instead"
        )


def _items(container: Any) -> Any:
    if isinstance(container, dict):
        return container.items()
    return enumerate(container) if isinstance(container, list | tuple) else ()


def _step(key: object) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{json.dumps(str(key))}]"
