"""Fixtures of the fault tests: a pool of real processes, and the figures that docs/reliability.md quotes."""

import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.reliability.pool import Pool
from tests.worker.conftest import repository, triton_files, write_entry

__all__ = ["repository", "triton_files", "write_entry"]


@pytest.fixture
async def pool(tmp_path) -> AsyncIterator[Pool]:
    made = Pool(tmp_path)
    try:
        yield made
    finally:
        await made.close()


class Figures:
    """What was measured, by name; nothing here is asserted, since it depends on the machine."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def __setitem__(self, name: str, value: float) -> None:
        self.values[name] = round(value, 3)
        print(f"{name}: {value:.3f}")


@pytest.fixture(scope="session")
def figures() -> Iterator[Figures]:
    """Written to the file that LABELBUS_RELIABILITY_REPORT names."""
    made = Figures()
    yield made
    if file := os.environ.get("LABELBUS_RELIABILITY_REPORT"):
        Path(file).write_text(json.dumps(made.values, indent=2, sort_keys=True) + "\n")
