"""Rendering of the chart: the objects that Kubernetes would get."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from tests.deploy.tools import ROOT, run

CHART = ROOT / "k8s" / "labelbus"
VALUES = ROOT / "k8s" / "values"
NATS_STAND_IN = Path(__file__).parent / "stand_ins" / "nats_chart"

Object = dict[str, Any]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """Arguments of one installation of the chart."""

    files: tuple[str, ...] = ()
    """Names of files in k8s/values, without .yaml."""
    values: Object = msgspec.field(default_factory=dict)
    release: str = "rel"


class Release:
    """Rendered objects, found by kind and name or component."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.objects: list[Object] = [each for each in yaml.safe_load_all(text) if each]

    def of_kind(self, kind: str) -> list[Object]:
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind: str, component: str) -> Object:
        found = [
            each
            for each in self.of_kind(kind)
            if each["metadata"].get("labels", {}).get("app.kubernetes.io/component") == component
            and "helm.sh/hook" not in each["metadata"].get("annotations", {})
        ]
        assert len(found) == 1, f"{len(found)} objects of kind {kind} of {component}"
        return found[0]

    def pods(self) -> Iterator[tuple[str, Object]]:
        """Return name and pod spec of every object that creates pods."""
        for each in self.objects:
            if each["kind"] in ("Deployment", "StatefulSet"):
                yield each["metadata"]["name"], each["spec"]["template"]["spec"]
            elif each["kind"] == "Pod":
                yield each["metadata"]["name"], each["spec"]


class Chart:
    """Copy of the chart with a NATS chart inside, as `helm dependency build` would leave it."""

    def __init__(self, folder: Path, helm: Path, nats_chart: Path) -> None:
        self.folder = folder
        self.helm = helm
        self._rendered: dict[str, Release] = {}
        shutil.copytree(CHART, folder, ignore=shutil.ignore_patterns("charts", "Chart.lock"))
        (folder / "charts").mkdir()
        if nats_chart.is_dir():
            shutil.copytree(nats_chart, folder / "charts" / "nats")
        else:
            shutil.copy(nats_chart, folder / "charts")

    def template(self, case: Case) -> subprocess.CompletedProcess[str]:
        """Return the outcome of `helm template`."""
        own = self.folder.with_name(f"values-{abs(hash(repr(case)))}.yaml")
        own.write_text(json.dumps(case.values))  # every JSON is YAML, and its "n" is no boolean
        files = [VALUES / f"{name}.yaml" for name in case.files]
        return run(self.helm, "template", case.release, self.folder, *_flags([*files, own]))

    def render(self, case: Case) -> Release:
        """Render the release, once for equal arguments; fail the test if it does not render."""
        if (known := self._rendered.get(repr(case))) is not None:
            return known
        outcome = self.template(case)
        assert outcome.returncode == 0, outcome.stderr
        return self._rendered.setdefault(repr(case), Release(outcome.stdout))


def _flags(files: Sequence[Path]) -> list[str | Path]:
    return [part for file in files for part in ("--values", file)]


EXTERNAL_NATS: Object = {
    "nats": {"enabled": False, "url": "nats://nats.messaging:4333", "auth": {"existingSecret": "nats-login"}}
}

EVERYTHING: Object = {
    "image": {"registry": "registry.example.com/team", "pullSecrets": ["pull"]},
    "nats": {"caSecret": "nats-ca", "promExporter": {"enabled": True}},
    "dispatcher": {
        "ingress": {"enabled": True, "hosts": [{"host": "labelbus.example.com"}], "tlsSecret": "tls"},
        "autoscaling": {"enabled": True},
        "service": {"type": "LoadBalancer"},
        "podAnnotations": {"example.com/a": "b"},
        "podLabels": {"team": "n"},
        "env": [{"name": "TZ", "value": "UTC"}],
        "priorityClassName": "high",
    },
    "worker": {"keda": {"enabled": True}},
    "triton": {"gpu": {"enabled": True, "count": 2}, "extraArgs": ["--log-verbose=1"]},
    "converter": {"huggingFace": {"tokenSecret": "hub", "endpoint": "https://hub.example.com"}},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "networkPolicy": {
        "gatewayFrom": [{"namespaceSelector": {}}],
        "metricsFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
    },
    "extraObjects": ["apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: '{{ .Release.Name }}-extra'\n"],
}

CASES: dict[str, Case] = {
    "defaults": Case(),
    "a release named n": Case(release="n"),
    "a release with dots": Case(release="team.labelbus"),
    "kind": Case(files=("kind",)),
    "eks": Case(files=("eks",)),
    "eks in high availability": Case(files=("eks", "ha")),
    "eks with gpus": Case(files=("eks", "gpu")),
    "eks with gpus in high availability": Case(files=("eks", "ha", "gpu"), release="n"),
    "gpus by the flag": Case(
        values={
            "triton": {"gpu": {"enabled": True, "nodeSelector": {"pool": "gpu"}}},
            "worker": {
                "nodeSelector": {"kubernetes.io/arch": "amd64"},
                "tolerations": [{"key": "spot", "operator": "Exists"}],
            },
        }
    ),
    "nats elsewhere": Case(values=EXTERNAL_NATS),
    "nats elsewhere with credentials": Case(
        values={"nats": {"enabled": False, "url": "tls://a:4222, tls://b:4222", "auth": {"credsSecret": "creds"}}},
        release="n",
    ),
    "nats without a password": Case(values={"nats": {"auth": {"enabled": False}}}),
    "onnx in the worker": Case(values={"worker": {"runtime": "onnx"}}),
    "everything": Case(values=EVERYTHING),
    "as little as possible": Case(
        values={
            "converter": {"enabled": False},
            "logsink": {"enabled": False},
            "networkPolicy": {"enabled": False},
            "tests": {"enabled": False},
            "models": {"persistence": {"existingClaim": "models", "accessMode": "ReadOnlyMany"}},
            "dispatcher": {"podDisruptionBudget": {"enabled": False}},
            "worker": {"podDisruptionBudget": {"enabled": False}, "runtime": "simulated"},
        }
    ),
}
