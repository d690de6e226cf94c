"""CHANGELOG.md as text: the lines of the next release and the sections of those before."""

import re
from typing import Final

UNRELEASED: Final = "## Unreleased\n"


class ChangelogError(ValueError):
    """A changelog that no release can be made of; the message says what to change."""


def released_versions(text: str) -> list[str]:
    """Return the versions that have a section, newest first."""
    return re.findall(r"^## (\d+\.\d+\.\d+)\b", text, re.MULTILINE)


def unreleased_lines(text: str) -> str:
    """Return what stands under "## Unreleased", without its empty subsections."""
    head, heading, rest = text.partition(UNRELEASED)
    if not heading or (head and not head.endswith("\n")):
        raise ChangelogError('CHANGELOG.md has no section "## Unreleased"; add one above the newest version')
    body, _, _ = rest.partition("\n## ")
    blocks = re.split(r"^(?=### )", body, flags=re.MULTILINE)
    return "".join(block for block in blocks if re.search(r"^- ", block, re.MULTILINE)).strip()


def release_section(text: str, *, version: str, date: str) -> str:
    """Return the changelog with its unreleased lines in a section of `version`, dated, and "Unreleased" empty above.

    Raises `ChangelogError` where nothing is unreleased or the version has a section already.
    """
    lines = unreleased_lines(text)
    if not lines:
        raise ChangelogError('CHANGELOG.md has no line under "## Unreleased"; there is nothing to release')
    if version in released_versions(text):
        raise ChangelogError(f"CHANGELOG.md has a section {version} already; choose another version")
    head, _, rest = text.partition(UNRELEASED)
    _, following, older = rest.partition("\n## ")
    return f"{head}{UNRELEASED}\n## {version}, {date}\n\n{lines}\n{following}{older}"
