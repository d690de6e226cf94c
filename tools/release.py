"""The release recipe: `just release 0.2.0 --dry-run`, then without `--dry-run`. Nothing is pushed.

A release is made in a temporary worktree of the current commit: version, changelog, wheel and sdist, their checks, and
the commit. Only when all of that has succeeded is `main` moved to the commit and tagged, so a release that fails, like
a dry run, leaves branches, tags and files as they were.

The version stands in pyproject.toml. The chart's version and appVersion follow it, and a test holds them together.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from tools.changelog import ChangelogError, release_section

BRANCH: Final = "main"
SMOKE: Final = "import labelbus; labelbus.Client('http://127.0.0.1:1').close()"
"""Run in a fresh environment with only the wheel's core dependencies: the client is what a bare install offers."""


class ReleaseError(click.ClickException):
    """A reason not to release; the message says what to do about it."""


def next_version(version: str, *, current: str, tags: Sequence[str]) -> str:
    """Return `version` if it may be released: three numbers, not below the current one, and not tagged yet."""
    if not re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", version):
        raise ReleaseError(f"{version} is not a version; three numbers are wanted, such as 0.2.0")
    if numbers(version) < numbers(current):
        raise ReleaseError(f"{version} is below the current version {current}")
    if f"v{version}" in tags:
        raise ReleaseError(f"the tag v{version} exists already; choose another version")
    return version


def numbers(version: str) -> tuple[int, ...]:
    """Return a version as numbers that compare."""
    return tuple(int(part) for part in version.split("."))


def project_version(pyproject: str) -> str:
    """Return the version in the text of pyproject.toml."""
    found = re.search(r'^\[project\]\n(?:(?!\[).*\n)*?version = "([^"]+)"', pyproject, re.MULTILINE)
    if found is None:
        raise ReleaseError("pyproject.toml has no version under [project]")
    return found[1]


def with_version(pyproject: str, version: str) -> str:
    """Return the text of pyproject.toml with another version of the project, and nothing else changed."""
    old, new = (f'version = "{each}"' for each in (project_version(pyproject), version))
    head, project, rest = pyproject.partition("[project]\n")
    return head + project + rest.replace(old, new, 1)


def chart_with_version(chart: str, version: str) -> str:
    """Return the text of Chart.yaml with another version and appVersion."""
    return re.sub(r"^(version|appVersion): .*$", rf"\1: {version}", chart, flags=re.MULTILINE)


def what_to_push(version: str, *, images: bool) -> str:
    """Return the commands that publish a release, for a person to run."""
    lines = [f"git push origin {BRANCH} v{version}", f"uv publish dist/labelbus-{version}*"]
    if images:
        lines.append(
            f"push the images labelbus/{{dispatcher,worker,logsink,converter,triton}}:{version} to your registry"
        )
    return "Nothing was pushed. To publish:\n" + "\n".join(f"  {line}" for line in lines)


def run(*command: str | Path, cwd: Path) -> None:
    """Show a command and run it; raise `ReleaseError` if it fails."""
    click.secho(f"$ {' '.join(map(str, command))}", dim=True, err=True)
    if subprocess.run(command, cwd=cwd, check=False).returncode:
        raise ReleaseError(f"{command[0]} failed; nothing was released")


def output(*command: str, cwd: Path) -> str:
    """Return what a command prints."""
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()


def check_tree(root: Path) -> None:
    """Raise `ReleaseError` unless a clean `main` is checked out."""
    branch = output("git", "rev-parse", "--abbrev-ref", "HEAD", cwd=root)
    if branch != BRANCH:
        raise ReleaseError(f"a release is made on {BRANCH}; {branch} is checked out")
    if changes := output("git", "status", "--porcelain", cwd=root):
        raise ReleaseError(f"the tree is not clean; commit or remove:\n{changes}")


@contextmanager
def worktree(root: Path) -> Iterator[Path]:
    """Give a temporary worktree of the current commit, and remove it at the end."""
    with tempfile.TemporaryDirectory(prefix="labelbus-release-") as folder:
        tree = Path(folder) / "tree"
        output("git", "worktree", "add", "--quiet", "--detach", str(tree), "HEAD", cwd=root)
        try:
            yield tree
        finally:
            output("git", "worktree", "remove", "--force", str(tree), cwd=root)


def write_version(tree: Path, version: str, *, date: str) -> None:
    """Write version and changelog section into a tree."""
    pyproject, changelog = tree / "pyproject.toml", tree / "CHANGELOG.md"
    chart = tree / "k8s" / "labelbus" / "Chart.yaml"
    try:
        changelog.write_text(release_section(changelog.read_text(), version=version, date=date))
    except ChangelogError as exc:
        raise ReleaseError(str(exc)) from exc
    pyproject.write_text(with_version(pyproject.read_text(), version))
    chart.write_text(chart_with_version(chart.read_text(), version))


def build(tree: Path, version: str) -> list[Path]:
    """Build wheel and sdist of a tree, check them with twine, try the wheel in a fresh environment; return both."""
    dist, venv = tree.parent / "dist", tree.parent / "venv"
    run("uv", "build", "--quiet", "--out-dir", dist, tree, cwd=tree)
    wheel, sdist = dist / f"labelbus-{version}-py3-none-any.whl", dist / f"labelbus-{version}.tar.gz"
    run("uvx", "twine", "check", "--strict", wheel, sdist, cwd=tree)
    run("uv", "venv", "--quiet", venv, cwd=tree.parent)
    run("uv", "pip", "install", "--quiet", "--python", venv, "-c", tree / "constraints.txt", wheel, cwd=tree.parent)
    run(venv / "bin" / "python", "-c", SMOKE, cwd=tree.parent)
    told = output(str(venv / "bin" / "labelbus"), "--version", cwd=tree.parent)
    if told != f"labelbus, version {version}":
        raise ReleaseError(f"the wheel says {told!r} instead of version {version}")
    return [wheel, sdist]


def commit(tree: Path, version: str) -> str:
    """Commit a tree's changes and return the commit's id; hooks do not run, since the checks have."""
    output("git", "commit", "--quiet", "--no-verify", "--all", "--message", f"Release {version}", cwd=tree)
    return output("git", "rev-parse", "HEAD", cwd=tree)


def container_engine() -> str | None:
    """Return docker or podman if one of them is installed and answers."""
    for name in ("docker", "podman"):
        if shutil.which(name) and not subprocess.run([name, "info"], capture_output=True, check=False).returncode:
            return name
    return None


@click.command(help="Make a release of main: version, changelog, wheel, sdist, commit, tag, images. Nothing is pushed.")
@click.argument("version")
@click.option("--dry-run", is_flag=True, help="Build and check everything, and leave the repository as it is.")
@click.option("--skip-tests", is_flag=True, help="Run `just check` instead of `just test`.")
@click.option("--skip-images", is_flag=True, help="Build no images.")
@click.option("--just", default="just", help="The just to run checks and image builds with.")
def main(version: str, *, dry_run: bool, skip_tests: bool, skip_images: bool, just: str) -> None:
    """Release `version`, or say why not."""
    root = Path.cwd()
    check_tree(root)
    current = project_version((root / "pyproject.toml").read_text())
    next_version(version, current=current, tags=output("git", "tag", cwd=root).split())
    engine = None if skip_images else container_engine()
    with worktree(root) as tree:
        write_version(tree, version, date=datetime.now(UTC).date().isoformat())
        click.echo(output("git", "diff", cwd=tree))
        run(just, "check" if skip_tests else "test", cwd=root)
        files = build(tree, version)
        if dry_run:
            images = f"images with {engine}" if engine else "no images"
            click.echo(f"dry run: would commit and tag v{version}, and build {images}; nothing was changed")
            return
        released = commit(tree, version)
        (root / "dist").mkdir(exist_ok=True)
        for file in files:
            shutil.copy(file, root / "dist")
    run("git", "merge", "--quiet", "--ff-only", released, cwd=root)
    run("git", "tag", "--annotate", f"v{version}", "--message", f"labelbus {version}", cwd=root)
    if engine:
        run(just, "images", version, cwd=root)
    click.echo(what_to_push(version, images=bool(engine)))


if __name__ == "__main__":
    sys.exit(main())
