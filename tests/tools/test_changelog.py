import pytest

from tools.changelog import ChangelogError, release_section, released_versions, unreleased_lines

TEXT = """\
# Changes

Newest first.

## Unreleased

### Changed

- One thing
  on two lines.

### Added

### Fixed

- Another.

## 0.2.0, 2026-01-31

- Old.

## 0.1.0, not published

- Oldest.
"""


def test_a_release_dates_the_unreleased_lines_and_drops_empty_subsections():
    assert release_section(TEXT, version="0.3.0", date="2026-02-01") == TEXT.replace(
        "## Unreleased\n", "## Unreleased\n\n## 0.3.0, 2026-02-01\n"
    ).replace("### Added\n\n", "")


def test_lines_without_subsections_are_released_too():
    text = "# Changes\n\n## Unreleased\n\n- Only.\n"
    assert release_section(text, version="0.1.0", date="2026-02-01").endswith("## 0.1.0, 2026-02-01\n\n- Only.\n")


def test_versions_are_those_with_a_section():
    assert released_versions(TEXT) == ["0.2.0", "0.1.0"]


def test_unreleased_lines_end_at_the_newest_version():
    assert unreleased_lines(TEXT).endswith("- Another.")


@pytest.mark.parametrize(
    ("text", "version", "said"),
    [
        ("# Changes\n\n## 0.1.0, 2026-01-01\n\n- Old.\n", "0.2.0", "no section"),
        ("# Changes\n\n## Unreleased\n\n## 0.1.0, 2026-01-01\n\n- Old.\n", "0.2.0", "no line"),
        ("# Changes\n\n## Unreleased\n\n### Added\n\n## 0.1.0, 2026-01-01\n", "0.2.0", "no line"),
        (TEXT, "0.2.0", "already"),
    ],
)
def test_a_release_without_anything_to_tell_is_refused(text, version, said):
    with pytest.raises(ChangelogError, match=said):
        release_section(text, version=version, date="2026-02-01")
