"""Cases that are long by nature: run by `just test-full`, skipped with this reason by `just test`."""

import os
from typing import Any, Final

import pytest

FULL: Final = os.environ.get("LABELBUS_TEST_FULL", "") == "1"
REASON: Final = "long by nature: just test-full"


def full(*values: Any, name: str, timeout_s: float) -> Any:
    """Return a case for `parametrize` that only `just test-full` runs."""
    marks = [pytest.mark.skipif(not FULL, reason=f"{name}, {REASON}"), pytest.mark.timeout(timeout_s)]
    return pytest.param(*values, id=name, marks=marks)
