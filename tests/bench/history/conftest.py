"""A checkout of its own for the tests that record."""

import subprocess

import pytest


def git(folder, *arguments):
    return subprocess.run(
        ["git", "-c", "user.name=test", "-c", "user.email=test@example.invalid", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A git checkout with one commit, which is the working folder of the test."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "code.py").write_text("1\n")
    (folder / ".gitignore").write_text("bench-results/\n")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    monkeypatch.chdir(folder)
    return folder
