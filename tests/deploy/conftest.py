"""The chart, rendered with a stand-in for the official NATS chart, and with that chart where it is at hand."""

import os
from pathlib import Path

import pytest

from tests.deploy.rendering import CHART, NATS_STAND_IN, Chart
from tests.deploy.tools import need


@pytest.fixture(scope="session")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Chart:
    """The chart with the stand-in."""
    return Chart(tmp_path_factory.mktemp("chart") / "labelbus", need("helm"), NATS_STAND_IN)


@pytest.fixture(scope="session", params=["stand-in", "official"])
def any_chart(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Chart:
    """The chart with each of the two."""
    nats = NATS_STAND_IN if request.param == "stand-in" else official_nats_chart()
    return Chart(tmp_path_factory.mktemp("chart") / "labelbus", need("helm"), nats)


def official_nats_chart() -> Path:
    """What `helm dependency build k8s/labelbus` fetched, or LABELBUS_TEST_NATS_CHART names: a folder or a .tgz."""
    named = os.environ.get("LABELBUS_TEST_NATS_CHART")
    found = [Path(named)] if named else sorted((CHART / "charts").glob("nats-*.tgz"))
    if not found:
        pytest.skip(
            "the official NATS chart is not at hand: helm dependency build k8s/labelbus, or LABELBUS_TEST_NATS_CHART"
        )
    return found[0]
