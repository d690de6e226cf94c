"""`just start`, `stop`, `status` and `logs` act on the kind cluster of that name, and on nothing else."""

import os
import re
from pathlib import Path

import pytest

from tests.deploy.tools import ROOT, run

SCRIPT = ROOT / "k8s" / "kind" / "kind.sh"
LOOPBACK = "https://127.0.0.1:6443"


class Machine:
    """Folder of stub programs that record their arguments and answer as configured."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = folder / "calls"
        self.calls.touch()
        for program in ("kind", "kubectl", "helm", "docker"):
            self.install(program, "")

    def install(self, program: str, body: str) -> None:
        path = self.folder / program
        path.write_text(f'#!/bin/bash\nset -e\necho "{program} $*" >> {self.calls}\n{body}\n')
        path.chmod(0o755)

    def cluster(self, *, server: str = LOOPBACK, provider: str = "kind://docker/labelbus/node") -> None:
        self.install("kind", 'case "$*" in "get clusters") echo labelbus ;; esac')
        self.install(
            "kubectl", f'case "$*" in *"config view"*) echo {server} ;; *"get nodes"*) echo {provider} ;; esac'
        )

    def run(self, *arguments: str) -> tuple[int, str, list[str]]:
        path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        outcome = run(SCRIPT, *arguments, environment={"PATH": path})
        return outcome.returncode, outcome.stdout + outcome.stderr, self.calls.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_start_makes_the_cluster_loads_the_images_and_names_its_context_every_time(machine: Machine) -> None:
    machine.cluster()
    machine.install(
        "kind", f'case "$*" in "get clusters") grep -q "kind create" {machine.calls} && echo labelbus ;; esac'
    )
    status, printed, calls = machine.run("start")
    assert status == 0, printed
    assert "curl http://127.0.0.1:30080/health" in printed
    assert any(call.startswith("kind create cluster --name labelbus") for call in calls)
    loaded = next(call for call in calls if call.startswith("kind load docker-image --name labelbus"))
    built = [call.split("--tag ")[1].split()[0] for call in calls if call.startswith("docker build")]
    assert set(built) == set(loaded.split()[5:])
    tag = built[0].partition(":")[2]
    installed = next(call for call in calls if call.startswith("helm upgrade --install labelbus"))
    assert f"image.tag={tag}" in installed
    for call in calls:
        if call.startswith("kubectl"):
            assert "--context kind-labelbus" in call
        if call.startswith("helm upgrade"):
            assert "--kube-context kind-labelbus" in call


def test_start_takes_the_cluster_that_is_there(machine: Machine) -> None:
    machine.cluster()
    status, printed, calls = machine.run("start")
    assert status == 0, printed
    assert not any(call.startswith("kind create") for call in calls)


@pytest.mark.parametrize("command", ["start", "status", "logs"])
@pytest.mark.parametrize(
    ("server", "provider", "sentence"),
    [
        ("https://abc.eks.amazonaws.com", "kind://docker/labelbus/node", "not on this machine"),
        (LOOPBACK, "aws:///eu-central-1a/i-1", "not kind's"),
        (LOOPBACK, "'kind://docker/labelbus/node aws:///a/i-1'", "not kind's"),
        (LOOPBACK, "", "not kind's"),
    ],
)
def test_nothing_is_done_to_a_cluster_that_is_not_kinds(
    machine: Machine, command: str, server: str, provider: str, sentence: str
) -> None:
    machine.cluster(server=server, provider=provider)
    status, printed, calls = machine.run(command)
    assert status == 1
    assert sentence in printed
    assert "nothing was done" in printed
    done = [call for call in calls if call.startswith(("helm", "docker", "kind create", "kind load", "kind delete"))]
    assert done == []
    assert all("config view" in call or "get nodes" in call for call in calls if call.startswith("kubectl"))


@pytest.mark.parametrize("command", ["stop", "status", "logs"])
def test_without_the_cluster_there_is_nothing_to_do(machine: Machine, command: str) -> None:
    status, printed, calls = machine.run(command)
    assert status == 1
    assert "there is no kind cluster labelbus" in printed
    assert not any("delete" in call for call in calls)


def test_stop_removes_that_cluster_and_no_other(machine: Machine) -> None:
    machine.cluster()
    status, printed, calls = machine.run("stop")
    assert status == 0, printed
    assert [call for call in calls if "delete" in call] == ["kind delete cluster --name labelbus"]


def test_a_missing_program_is_named(machine: Machine) -> None:
    outcome = run(SCRIPT, "start", environment={"PATH": "/usr/bin:/bin"})
    assert outcome.returncode == 1
    assert "is not installed" in outcome.stderr


@pytest.mark.parametrize("command", ["start", "stop", "status", "logs"])
def test_just_has_a_word_for_each_command(command: str) -> None:
    recipe = re.search(
        rf"^{command}( \*args)?:\n    @k8s/kind/kind\.sh (.*)$", (ROOT / "justfile").read_text(), re.MULTILINE
    )
    assert recipe is not None
    assert recipe[2] == (f"{command} {{{{ args }}}}" if recipe[1] else command)


def test_logs_passes_its_flags_on(machine: Machine) -> None:
    machine.cluster()
    status, printed, calls = machine.run("logs", "--follow", "--level", "WARNING")
    assert status == 0, printed
    assert calls[-1].endswith("-- labelbus logs --follow --level WARNING")
