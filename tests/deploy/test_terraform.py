"""Terraform in tf/: formatted, valid, tested with mocked providers, applied and destroyed on an emulated AWS."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.tools import ROOT, TOOLS, need, run, succeed

STAND_INS = Path(__file__).parent / "stand_ins"


def mirror(provider: str) -> Path | None:
    """A folder of providers, laid out as Terraform wants it, that has this one: LABELBUS_TF_PLUGINS, or `tf-plugins`
    in a folder at the top of this machine. Without one they come from the registry, if it is reached."""
    named = os.environ.get("LABELBUS_TF_PLUGINS")
    folders = [Path(named)] if named else sorted(Path("/").glob("*/tf-plugins"))
    return next((folder for folder in folders if any(folder.glob(f"*/hashicorp/{provider}"))), None)


AWS_SERVICES = ("autoscaling", "ec2", "ecr", "efs", "eks", "iam", "kms", "logs", "s3", "sts")

pytestmark = pytest.mark.timeout(600)


class Terraform:
    """Terraform in a copy of a module."""

    def __init__(self, module: Path, folder: Path, plugins: Path | None) -> None:
        self.binary = need("terraform", "see its install page")
        self.folder = folder / "tf" / module.name
        self.plugins = plugins
        # The modules read k8s/values and the chart by relative paths.
        shutil.copytree(ROOT / "k8s", folder / "k8s")
        shutil.copytree(
            module, self.folder, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.auto.tfvars*")
        )
        self.environment = {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1", "TF_CLI_CONFIG_FILE": os.devnull}

    def init(self) -> None:
        """Initialise with the local providers; skip where there are none."""
        given = [f"-plugin-dir={self.plugins}"] if self.plugins else []
        outcome = run(
            self.binary, "init", "-input=false", "-no-color", *given, cwd=self.folder, environment=self.environment
        )
        if outcome.returncode != 0 and not given:
            pytest.skip("no provider mirror (LABELBUS_TF_PLUGINS), and the registry of providers is out of reach")
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr

    def __call__(self, *arguments: str) -> str:
        return succeed(self.binary, *arguments, cwd=self.folder, environment=self.environment)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    terraform = Terraform(ROOT / "tf" / "cluster", tmp_path_factory.mktemp("cluster"), mirror("aws"))
    terraform.init()
    return terraform


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """Return tf/helm with the real provider if it is there, else with a stub that has its schema."""
    folder = tmp_path_factory.mktemp("helm")
    plugins = mirror("helm") or stand_in_provider(folder / "plugins")
    terraform = Terraform(ROOT / "tf" / "helm", folder, plugins)
    terraform.init()
    return terraform


def stand_in_provider(plugins: Path) -> Path:
    need("kubernetes-validate")  # stands for the tools' environment, which the stand-in runs in
    terraform = need("terraform", "see its install page")
    version = json.loads(succeed(terraform, "version", "-json"))
    # Terraform says what it calls the place that providers come from; nothing is fetched from there.
    source = re.search(r"provider\[([^]]+/hashicorp/helm)\]", succeed(terraform, "providers", cwd=ROOT / "tf" / "helm"))
    assert source is not None
    folder = plugins / source[1] / "3.0.0" / version["platform"]
    folder.mkdir(parents=True)
    program = folder / "terraform-provider-helm_v3.0.0"
    program.write_text(f'#!/bin/sh\nexec "{TOOLS}/python" "{STAND_INS}/helm_provider.py"\n')
    program.chmod(0o755)
    return plugins


def test_everything_is_formatted() -> None:
    succeed(need("terraform", "see its install page"), "fmt", "-check", "-recursive", "-diff", ROOT / "tf")


def test_every_variable_and_output_is_described_and_every_variable_typed() -> None:
    for file in sorted((ROOT / "tf").rglob("*.tf")):
        blocks = re.findall(r'^(variable|output) "(\w+)" \{\n(.*?)^\}', file.read_text(), re.MULTILINE | re.DOTALL)
        for kind, name, body in blocks:
            assert re.search(r'^  description\s*= "[A-Z].+\."$', body, re.MULTILINE), f"{file}: {kind} {name}"
            assert kind == "output" or re.search(r"^  type\s*=", body, re.MULTILINE), f"{file}: variable {name}"


def test_the_recipes_leave_the_yes_to_whoever_runs_them() -> None:
    recipes = (ROOT / "justfile").read_text()
    applied = re.findall(r"terraform -chdir=tf/(\S+) (apply|destroy)", recipes)
    assert sorted(applied) == [("cluster", "apply"), ("cluster", "destroy"), ("helm", "apply"), ("helm", "destroy")]
    assert "auto-approve" not in recipes


def test_the_cluster_is_valid_and_its_own_tests_pass(cluster: Terraform) -> None:
    cluster("validate", "-no-color")
    printed = cluster("test", "-no-color")
    assert re.search(r"Success! \d\d passed, 0 failed", printed), printed


def test_the_release_is_valid_and_its_own_tests_pass(release: Terraform) -> None:
    release("validate", "-no-color")
    printed = release("test", "-no-color")
    assert re.search(r"Success! \d+ passed, 0 failed", printed), printed


@pytest.fixture
def aws() -> Iterator[str]:
    """Return the address of the emulated AWS."""
    python = need("kubernetes-validate").with_name("python")
    process = subprocess.Popen(
        [python, STAND_INS / "aws.py"],
        env={**os.environ, "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def test_a_cluster_can_be_made_and_taken_away_again(cluster: Terraform, aws: str) -> None:
    (cluster.folder / "loopback_override.tf").write_text(loopback_provider(aws))
    variables = [
        "-no-color",
        "-var=region=eu-central-1",
        '-var=api_access_cidrs=["203.0.113.7/32"]',
        "-var=gpu_nodes={}",
        "-var=force_destroy=true",
        "-var=install_addons=false",  # moto has no add-ons
        "-var=backups=false",  # nor backups of EFS
    ]
    made = cluster("apply", "-auto-approve", *variables)
    assert re.search(r"Apply complete! Resources: [5-9]\d added, 0 changed, 0 destroyed", made), made
    on_efs = json.loads(cluster("output", "-json", "helm_variables"))
    assert on_efs["cluster_name"] == "labelbus"
    assert on_efs["gpu"] is True
    assert on_efs["model_store"]["file_system_id"].startswith("fs-")
    assert on_efs["repository_urls"]["worker"].endswith("/labelbus/worker")

    planned = cluster("plan", *variables)
    changed = re.findall(r"# (\S+) (?:will|must) be", planned)
    # moto's EKS and launch templates do not answer what they were told; everything else is as it was made.
    assert [each for each in changed if not each.startswith(("module.eks.", "module.models.aws_vpc_security"))] == []

    assert "Destroy complete!" in cluster("destroy", "-auto-approve", *variables)
    assert cluster("state", "list") == ""


def loopback_provider(address: str) -> str:
    endpoints = "\n".join(f'    {service} = "{address}"' for service in AWS_SERVICES)
    return f"""
provider "aws" {{
  region                      = var.region
  access_key                  = "testing"
  secret_key                  = "testing"
  max_retries                 = 1
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
  s3_use_path_style           = true
  endpoints {{
{endpoints}
  }}
}}
"""
