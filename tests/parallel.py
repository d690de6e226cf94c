"""Distribution of the tests over processes (`just test`, pytest-xdist with --dist loadgroup).

A file is one unit of work, so that its tests share what its fixtures make; a test of LONG_S or more is a unit of its
own unless it is marked `xdist_group`, as those are that share something dear (images, a Terraform folder, a stack).
The units that take longest are started first. durations.txt says how long: `just test --keep-durations` writes it.
"""

import os
from collections import defaultdict
from pathlib import Path
from typing import Final

import pytest

DURATIONS: Final = Path(__file__).with_name("durations.txt")
LONG_S: Final = 2.0
"""Shorter tests are not worth a line in durations.txt, nor a unit of work."""
UNKNOWN_S: Final = 0.1
"""Of a test that has no line there: most take less."""


def processes(config: pytest.Config) -> int:
    """Return twice the number of cores, since most tests wait; 0 for a choice of tests, which starts sooner without."""
    chosen = config.option.keyword or any("::" in name or name.endswith(".py") for name in config.option.file_or_dir)
    return 0 if chosen else min(2 * (os.cpu_count() or 1), 8)


def name_units(items: list[pytest.Item]) -> None:
    """Mark each test with its unit of work; one without a mark is a unit by itself."""
    known = read_durations()
    for item in items:
        if item.get_closest_marker("xdist_group"):
            continue
        if "[container" in item.nodeid:  # a server for all of them: it is stopped when another process needs none
            item.add_marker(pytest.mark.xdist_group("nats in a container"))
        elif known.get(item.nodeid, 0.0) < LONG_S:
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def longest_first(items: list[pytest.Item]) -> None:
    """Order the tests by how long their units take, and within a unit as they were."""
    known = read_durations()
    units: dict[str, float] = defaultdict(float)
    for item in items:
        units[_unit(item)] += known.get(_without_group(item.nodeid), UNKNOWN_S)
    items.sort(key=lambda item: (-units[_unit(item)], _unit(item)))


def read_durations() -> dict[str, float]:
    """Return the seconds that each long test took, by its node id."""
    lines = DURATIONS.read_text().splitlines() if DURATIONS.exists() else []
    return {name: float(seconds) for seconds, _, name in (line.partition(" ") for line in lines)}


def write_durations(reports: list[pytest.TestReport]) -> None:
    """Keep what the long tests of this run took, fixtures included, the longest first."""
    took: dict[str, float] = defaultdict(float)
    for report in reports:
        took[_without_group(report.nodeid)] += report.duration
    long = sorted(((seconds, name) for name, seconds in took.items() if seconds >= LONG_S), reverse=True)
    DURATIONS.write_text("".join(f"{seconds:.0f} {name}\n" for seconds, name in long))


def _unit(item: pytest.Item) -> str:
    marker = item.get_closest_marker("xdist_group")
    return str(marker.args[0]) if marker else item.nodeid


def _without_group(name: str) -> str:
    """Return the node id without the `@group` that xdist appends."""
    return name.rpartition("@")[0] if name.rfind("@") > name.rfind("]") else name
