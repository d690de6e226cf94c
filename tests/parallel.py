"""Distribution of the tests over processes (`just test`, pytest-xdist).

A file is one unit of work, so that its tests share what its fixtures make, and a test of LONG_S or more is one by
itself, unless its file is in WHOLE. The units that take longest are started first. durations.txt says how long:
`just durations` writes it. xdist's own groups need marks in the node ids, which pytest 9.2 does not let it write.
"""

import os
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import pytest
from xdist.scheduler import LoadScopeScheduling

DURATIONS: Final = Path(__file__).with_name("durations.txt")
LONG_S: Final = 2.0
"""Shorter tests are not worth a line in durations.txt, nor a unit of work."""
UNKNOWN_S: Final = 0.1
"""Of a test that has no line there: most take less."""
WHOLE: Final = {
    "tests/deploy/test_images.py": "images",
    "tests/deploy/test_terraform.py": "terraform",
    "tests/deploy/test_chart_objects.py": "chart",
    "tests/deploy/test_chart_refuses.py": "chart",
    "tests/deploy/test_chart_renders.py": "chart",
    "tests/deploy/test_nats_configuration.py": "chart",
    "tests/e2e/test_whole_way.py": "stack with the real model",
    "tests/tools/test_release.py": "release",
}
"""Files whose tests share something that takes long to make, and the name of their unit of work."""


class LongestFirst(LoadScopeScheduling):  # type: ignore[misc]  # xdist is not typed
    """Units of work, handed out in the order of the collection, which `order` makes, and none of them too early."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False
        self._known = read_durations()

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid, self._known)

    def _reschedule(self, node: Any) -> None:
        """Give a process its next unit when it has one test left, not three: the others may be free before it."""
        if self.workqueue and self._pending_of(self.assigned_work[node]) > 1:
            return
        super()._reschedule(node)


def processes(config: pytest.Config) -> int:
    """Return twice the number of cores, since most tests wait; 0 for a choice of tests, which starts sooner without."""
    chosen = config.option.keyword or any("::" in name or name.endswith(".py") for name in config.option.file_or_dir)
    return 0 if chosen else min(2 * (os.cpu_count() or 1), 8)


def unit_of(nodeid: str, known: dict[str, float]) -> str:
    """Return the name of the unit of work that a test belongs to."""
    file = nodeid.partition("::")[0]
    if file in WHOLE:
        return WHOLE[file]
    if "[container" in nodeid:  # one server for all of them: it is stopped when the next test wants another
        return "nats in a container"
    return nodeid if known.get(nodeid, 0.0) >= LONG_S else file


def order(items: list[pytest.Item]) -> None:
    """Order the tests by how long their units take, and within a unit as they were."""
    known = read_durations()
    units: dict[str, float] = defaultdict(float)
    for item in items:
        units[unit_of(item.nodeid, known)] += known.get(item.nodeid, UNKNOWN_S)
    items.sort(key=lambda item: (-units[unit_of(item.nodeid, known)], unit_of(item.nodeid, known)))


def read_durations() -> dict[str, float]:
    """Return the seconds that each long test took, by its node id."""
    lines = DURATIONS.read_text().splitlines() if DURATIONS.exists() else []
    return {name: float(seconds) for seconds, _, name in (line.partition(" ") for line in lines)}


def write_durations(reports: list[pytest.TestReport]) -> None:
    """Keep what the long tests of this run took, fixtures included, the longest first."""
    took: dict[str, float] = defaultdict(float)
    for report in reports:
        took[report.nodeid] += report.duration
    long = sorted(((seconds, name) for name, seconds in took.items() if seconds >= LONG_S), reverse=True)
    DURATIONS.write_text("".join(f"{seconds:.0f} {name}\n" for seconds, name in long))
