"""The release recipe, in a repository of its own that holds this tree's files."""

import re
import shutil
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tools.release import ReleaseError, chart_with_version, next_version, project_version, with_version

ROOT = Path(__file__).parents[2]
PYPROJECT = (ROOT / "pyproject.toml").read_text()


def test_the_chart_has_the_version_of_the_project():
    chart = (ROOT / "k8s" / "labelbus" / "Chart.yaml").read_text()
    assert chart == chart_with_version(chart, project_version(PYPROJECT))


def test_a_new_version_changes_one_line_of_pyproject():
    changed = with_version(PYPROJECT, "12.3.4")
    assert project_version(changed) == "12.3.4"
    pairs = list(zip(PYPROJECT.splitlines(), changed.splitlines(), strict=True))
    assert [new for old, new in pairs if old != new] == ['version = "12.3.4"']


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("0.3", "not a version"),
        ("0.3.0rc1", "not a version"),
        ("v0.3.0", "not a version"),
        ("0.03.0", "not a version"),
        ("0.2.9", "below"),
        ("0.4.0", "exists already"),
    ],
)
def test_a_version_that_cannot_be_released_is_refused(version, said):
    with pytest.raises(ReleaseError, match=said):
        next_version(version, current="0.3.0", tags=["v0.2.0", "v0.4.0"])


def test_the_current_version_may_be_released_if_it_has_no_tag():
    assert next_version("0.3.0", current="0.3.0", tags=["v0.2.0"]) == "0.3.0"
    assert next_version("0.10.0", current="0.9.0", tags=[]) == "0.10.0"


class Repository:
    """A git repository on `main` with this tree's files, and a `just` that only writes down its arguments."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "repository"
        self.asked = folder / "asked.txt"
        self.just = folder / "just"
        self.just.write_text(f'#!/bin/sh\necho "$@" >> {self.asked}\n')
        self.just.chmod(0o755)
        files = self.git("ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
        for name in files:
            if (ROOT / name).is_file():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.folder / name)
        self.git("init", "--quiet", "--initial-branch", "main")
        self.git("config", "user.name", "A Maintainer")
        self.git("config", "user.email", "maintainer@example.org")
        self.change("CHANGELOG.md", lambda text: text.replace("## Unreleased\n", "## Unreleased\n\n- A test.\n"))
        self.commit("All")

    def git(self, *arguments: str, cwd: Path | None = None) -> str:
        ran = subprocess.run(["git", *arguments], cwd=cwd or self.folder, check=True, capture_output=True, text=True)
        return ran.stdout.strip()

    def change(self, name: str, change) -> None:
        (self.folder / name).write_text(change((self.folder / name).read_text()))

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def release(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tools.release", "--just", str(self.just), "--skip-images", *arguments]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)

    def state(self) -> tuple[str, ...]:
        return (
            self.git("for-each-ref"),
            self.git("status", "--porcelain"),
            self.git("worktree", "list"),
            str((self.folder / "dist").exists()),
        )


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Repository:
    return Repository(tmp_path_factory.mktemp("release"))


def test_a_dry_run_builds_and_checks_everything_and_changes_nothing(repository):
    before = repository.state()
    ran = repository.release("98.7.6", "--dry-run", "--skip-tests")
    assert ran.returncode == 0, ran.stderr
    assert '+version = "98.7.6"' in ran.stdout
    assert f"+## 98.7.6, {datetime.now(UTC).date()}" in ran.stdout
    assert "would commit and tag v98.7.6" in ran.stdout
    assert repository.asked.read_text().splitlines()[-1] == "check"
    assert repository.state() == before


def test_a_release_is_a_commit_a_tag_and_two_files_and_nothing_is_pushed(repository):
    ran = repository.release("98.7.7")
    assert ran.returncode == 0, ran.stderr
    assert repository.asked.read_text().splitlines()[-1] == "test"
    assert repository.git("log", "-1", "--format=%s", "main") == "Release 98.7.7"
    assert repository.git("rev-parse", "v98.7.7^{commit}") == repository.git("rev-parse", "main")
    assert sorted(repository.git("diff", "--name-only", "main~1", "main").split()) == [
        "CHANGELOG.md",
        "k8s/labelbus/Chart.yaml",
        "pyproject.toml",
    ]
    assert repository.git("status", "--porcelain") == ""
    assert {file.name for file in (repository.folder / "dist").iterdir()} == {
        "labelbus-98.7.7-py3-none-any.whl",
        "labelbus-98.7.7.tar.gz",
    }
    with zipfile.ZipFile(repository.folder / "dist" / "labelbus-98.7.7-py3-none-any.whl") as wheel:
        folders = {name.partition("/")[0] for name in wheel.namelist()}
    packages = {"bus", "dispatcher", "worker", "logsink", "converter", "bench", "labelbus"}
    assert folders == {*packages, "labelbus-98.7.7.dist-info"}
    assert re.search(r"Nothing was pushed.*git push origin main v98\.7\.7", ran.stdout, re.DOTALL)

    again = repository.release("98.7.7")
    assert again.returncode == 1
    assert "the tag v98.7.7 exists already" in again.stderr


def test_a_release_is_refused_when_a_check_fails(repository, monkeypatch):
    monkeypatch.setattr(repository, "just", "false")
    repository.change("CHANGELOG.md", lambda text: text.replace("## Unreleased\n", "## Unreleased\n\n- More.\n", 1))
    repository.commit("More")
    before = repository.state()
    ran = repository.release("98.7.8")
    assert ran.returncode == 1
    assert "nothing was released" in ran.stderr
    assert repository.state() == before


def test_a_release_is_refused_off_main_and_on_a_tree_that_is_not_clean(repository):
    (repository.folder / "left-over.txt").write_text("")
    ran = repository.release("98.7.9")
    assert (ran.returncode, "left-over.txt" in ran.stderr) == (1, True)
    (repository.folder / "left-over.txt").unlink()
    repository.git("switch", "--quiet", "--create", "side")
    try:
        ran = repository.release("98.7.9")
        assert (ran.returncode, "side is checked out" in ran.stderr) == (1, True)
    finally:
        repository.git("switch", "--quiet", "main")
