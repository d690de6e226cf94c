"""Every installation of the chart gives objects that Kubernetes accepts."""

import re
from pathlib import Path

import pytest
import yaml

from tests.deploy.rendering import CASES, Case, Chart, Object, Release
from tests.deploy.tools import need, run, succeed

KUBERNETES_VERSIONS = ("1.29", "1.33", "1.37")
OTHER_GROUPS = ("keda.sh/", "monitoring.coreos.com/")
"""Custom resources, which have no schema in Kubernetes."""


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_what_is_rendered_is_what_kubernetes_knows(any_chart: Chart, version: str, tmp_path: Path) -> None:
    validate = need("kubernetes-validate")
    official = any_chart.folder.joinpath("charts/nats/UPGRADING.md").exists()
    for name, case in CASES.items():
        if case.release == "n" and official:
            continue  # the official NATS chart leaves the release's name unquoted
        known = [each for each in any_chart.render(case).objects if not each["apiVersion"].startswith(OTHER_GROUPS)]
        assert len(known) > 8
        tmp_path.joinpath(f"{name.replace(' ', '-')}.yaml").write_text(yaml.safe_dump_all(known))
    outcome = run(validate, "--strict", "--no-warn", "-k", version, *sorted(tmp_path.iterdir()))
    assert outcome.returncode == 0, f"{outcome.stdout}{outcome.stderr}"


@pytest.mark.parametrize("name", CASES)
def test_no_name_is_given_twice_and_every_reference_is_met(chart: Chart, name: str) -> None:
    release = chart.render(CASES[name])
    names = [(each["kind"], each["metadata"]["name"]) for each in release.objects]
    assert len(names) == len(set(names))
    assert all(len(each) <= 63 and re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", each) for _, each in names)
    given = {"pull", "nats-login", "creds", "nats-ca", "hub", "tls", "models"}  # what the cases say is there already
    for pod, spec in release.pods():
        for kind, wanted in references(spec):
            assert (kind, wanted) in names or wanted in given, f"{pod}: no {kind} {wanted}"
        volumes = {volume["name"] for volume in spec.get("volumes", [])} | claims(release, pod)
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes


@pytest.mark.parametrize("name", CASES)
def test_selectors_find_the_pods_they_are_meant_for(chart: Chart, name: str) -> None:
    release = chart.render(CASES[name])
    pods = [
        each["spec"]["template"]["metadata"]["labels"] for each in release.objects if "template" in each.get("spec", {})
    ]
    pods += [each["metadata"]["labels"] for each in release.of_kind("Pod")]
    for each in release.objects:
        if each["kind"] in ("Deployment", "StatefulSet"):
            wanted = each["spec"]["selector"]["matchLabels"]
            assert wanted.items() <= each["spec"]["template"]["metadata"]["labels"].items()
        elif each["kind"] == "Service":
            wanted = each["spec"]["selector"]
        elif each["kind"] == "PodDisruptionBudget":
            wanted = each["spec"]["selector"]["matchLabels"]
        elif each["kind"] == "NetworkPolicy":
            wanted = each["spec"]["podSelector"]["matchLabels"]
        else:
            continue
        assert len([labels for labels in pods if wanted.items() <= labels.items()]) == 1, each["metadata"]["name"]


def test_rendering_twice_differs_in_nothing_but_the_password_made_up(chart: Chart) -> None:
    once, again = (chart.template(Case(files=("kind",))).stdout for _ in range(2))
    password = re.compile(r"(password: ).*")
    assert once != again
    assert password.sub(r"\1", once) == password.sub(r"\1", again)


def test_the_chart_passes_helm_lint(chart: Chart) -> None:
    succeed(chart.helm, "lint", "--strict", chart.folder)


def references(spec: Object) -> list[tuple[str, str]]:
    """Return kind and name of every object that a pod refers to."""
    found = [("ServiceAccount", spec["serviceAccountName"])] if "serviceAccountName" in spec else []
    for volume in spec.get("volumes", []):
        if "secret" in volume:
            found.append(("Secret", volume["secret"]["secretName"]))
        if "configMap" in volume:
            found.append(("ConfigMap", volume["configMap"]["name"]))
        if "persistentVolumeClaim" in volume:
            found.append(("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]))
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        found += [("ConfigMap", each["configMapRef"]["name"]) for each in container.get("envFrom", [])]
        for variable in container.get("env", []):
            if secret := variable.get("valueFrom", {}).get("secretKeyRef"):
                found.append(("Secret", secret["name"]))
    return found


def claims(release: Release, name: str) -> set[str]:
    """Return the volumes that a StatefulSet creates."""
    return {
        claim["metadata"]["name"]
        for each in release.of_kind("StatefulSet")
        if each["metadata"]["name"] == name
        for claim in each["spec"].get("volumeClaimTemplates", [])
    }
