"""Fixtures of the chart, with a stub of the NATS chart or with the official one; report of `just check-deploy`."""

import os
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tests.deploy.rendering import CHART, NATS_STAND_IN, Chart
from tests.deploy.tools import need

LADDER = {
    "test_chart_renders.py": "chart: every way to install it fits together and is valid on three Kubernetes versions",
    "test_chart_refuses.py": "chart: values that make no sense are refused with a sentence",
    "test_chart_objects.py": "chart: security, probes, settings, policies, autoscalers are as promised",
    "test_nats_configuration.py": "chart: nats-server takes its configuration, and lets labelbus in and nobody else",
    "test_scans.py": "scanners: checkov on chart, Terraform and Dockerfile; hadolint",
    "test_terraform.py": "terraform: format, validity, own tests, apply and destroy on an emulated AWS; the release",
    "test_kind_script.py": "kind: the script acts on its own cluster only (kind itself is a stand-in)",
    "test_images.py": "images: built, run one by one, and an upload, an embedding and its log through all of them",
}

NEVER_RUN = (
    "a real EKS cluster, a real kind cluster, the release installed by the real helm provider",
    "the official Triton image; GPUs",
    "KEDA, the Prometheus operator, an ingress controller, enforcement of the NetworkPolicies",
)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """With LABELBUS_LADDER=1, report what was checked, what was not, and why."""
    if os.environ.get("LABELBUS_LADDER") != "1":
        return
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    reasons: dict[str, set[str]] = defaultdict(set)
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            file = Path(report.nodeid.split("::")[0]).name
            counts[file][outcome] += 1
            if outcome == "skipped":
                reasons[file].add(report.longrepr[2].removeprefix("Skipped: "))
    write = terminalreporter.write_line
    terminalreporter.section("what was checked")
    for file, what in LADDER.items():
        if not counts[file]:
            continue
        write(f"{what}: {', '.join(f'{count} {outcome}' for outcome, count in counts[file].items())}")
        for reason in sorted(reasons[file]):
            write(f"    skipped: {reason}")
    write("")
    write("never run by these tests (docs/deployment.md):")
    for what in NEVER_RUN:
        write(f"    {what}")


@pytest.fixture(scope="session")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Chart:
    """Return the chart with the stub."""
    return Chart(tmp_path_factory.mktemp("chart") / "labelbus", need("helm"), NATS_STAND_IN)


@pytest.fixture(scope="session", params=["stand-in", "official"])
def any_chart(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Chart:
    """Return the chart with the stub, then with the official NATS chart."""
    nats = NATS_STAND_IN if request.param == "stand-in" else official_nats_chart()
    return Chart(tmp_path_factory.mktemp("chart") / "labelbus", need("helm"), nats)


def official_nats_chart() -> Path:
    """Return the chart that `helm dependency build` fetched, or LABELBUS_TEST_NATS_CHART names (folder or .tgz)."""
    named = os.environ.get("LABELBUS_TEST_NATS_CHART")
    found = [Path(named)] if named else sorted((CHART / "charts").glob("nats-*.tgz"))
    if not found:
        pytest.skip(
            "the official NATS chart is not at hand: helm dependency build k8s/labelbus, or LABELBUS_TEST_NATS_CHART"
        )
    return found[0]
