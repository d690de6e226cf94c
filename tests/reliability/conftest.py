"""Fixtures of the fault tests: a pool of real processes, and the figures that docs/reliability.md quotes."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

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
    """Measurements by name; none is asserted, since they depend on the machine."""

    def __init__(self, report: Path | None) -> None:
        self._report = report

    def __setitem__(self, name: str, value: float) -> None:
        print(f"{name}: {value:.3f}")
        if self._report:
            with self._report.open("a") as lines:  # of several test processes, each line in one write
                lines.write(json.dumps({"name": name, "value": round(value, 3)}) + "\n")


@pytest.fixture(scope="session")
def figures() -> Figures:
    """A line for each measurement in the file that LABELBUS_RELIABILITY_REPORT names."""
    report = os.environ.get("LABELBUS_RELIABILITY_REPORT")
    return Figures(Path(report) if report else None)
