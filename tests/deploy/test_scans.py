"""Scanners of chart, Terraform and Dockerfile find only what is accepted for a stated reason."""

import json
from pathlib import Path

import pytest

from tests.deploy.rendering import CASES, Case, Chart
from tests.deploy.tools import ROOT, need, run, succeed

MEANT_IN_THE_CHART = {
    "CKV_K8S_11": "no limit on CPU: a limit slows a worker down while cores are idle; requests share them fairly",
    "CKV_K8S_15": "IfNotPresent: tags never move (tf/cluster makes them immutable), and kind has no registry",
    "CKV_K8S_21": "the namespace is the release's, which `helm template` does not write down",
    "CKV_K8S_35": "settings are variables by design; where a file is wanted there is nats.auth.credsSecret",
    "CKV_K8S_43": "a digest may be given as a tag; the chart's default names a version",
}
MEANT_IN_TERRAFORM = {
    "CKV2_AWS_11": "flow logs cost by the gigabyte and belong to the account's own set-up",
    "CKV2_AWS_62": "nobody waits for events of the model bucket",
    "CKV_AWS_18": "access logs need a bucket of the account's own",
    "CKV_AWS_144": "models can be converted again; a copy in another region is for those who need it",
    "CKV_AWS_394": "zones can be named; what is chosen is cut to zone_count",
}
MEANT_IN_THE_DOCKERFILE = {
    "CKV_DOCKER_7": "the base has a version; checkov does not follow the ARG",
}

pytestmark = pytest.mark.timeout(300)


def test_checkov_finds_nothing_in_the_rendered_chart(chart: Chart, tmp_path: Path) -> None:
    for name in ("defaults", "eks with gpus in high availability", "everything"):
        for index, each in enumerate(chart.render(CASES[name]).objects):
            # NATS is its chart's own affair, and the test's pod is gone after a second.
            if "nats" not in each["metadata"]["name"].split("-") and each["kind"] != "Pod":
                (tmp_path / f"{name.replace(' ', '-')}-{index}.json").write_text(json.dumps(each))
    assert checkov("kubernetes", tmp_path, MEANT_IN_THE_CHART) > 500


def test_checkov_finds_nothing_in_terraform() -> None:
    assert checkov("terraform", ROOT / "tf", MEANT_IN_TERRAFORM) > 50


def test_checkov_finds_nothing_in_the_dockerfile() -> None:
    assert checkov("dockerfile", ROOT / "k8s" / "images", MEANT_IN_THE_DOCKERFILE) > 50


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    succeed(need("hadolint"), ROOT / "k8s" / "images" / "Dockerfile")


def test_the_values_files_are_all_rendered_by_some_case() -> None:
    files = {file.stem for file in (ROOT / "k8s" / "values").glob("*.yaml")}
    assert files == {name for case in CASES.values() for name in case.files}
    assert Case() in CASES.values()


def checkov(framework: str, folder: Path, meant: dict[str, str]) -> int:
    """Return how many checks passed; fail on findings not accepted, and on accepted ones that are not found."""
    what = ("--directory", folder, "--framework", framework, "--skip-path", ".*/tests/.*")
    outcome = run(need("checkov"), *what, "--output", "json", "--quiet", "--skip-download")
    report = json.loads(outcome.stdout)
    failed = {
        each["check_id"]: f"{each['resource']}: {each['check_name']}" for each in report["results"]["failed_checks"]
    }
    assert {name: text for name, text in failed.items() if name not in meant} == {}
    assert meant.keys() <= failed.keys(), "reasons for what nobody complains of"
    return int(report["summary"]["passed"])
