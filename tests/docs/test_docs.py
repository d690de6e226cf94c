import re
from pathlib import Path

from dispatcher.api.problems import STATUS
from labelbus.settings_doc import settings_markdown
from tests.docs.code_blocks import PAGES, ROOT


def test_the_settings_page_is_that_of_the_settings():
    assert (ROOT / "docs" / "settings.md").read_text() == settings_markdown(), "run `just docs`"


def test_every_code_of_a_task_or_upload_is_in_the_api_page_with_its_status():
    text = (ROOT / "docs" / "api.md").read_text()
    told = {code: int(status) for status, code in re.findall(r"^\| (\d{3}) \| `(\w+)` \|", text, re.MULTILINE)}
    internal = {"internal"}  # a bug: nothing to document
    assert {code: int(status) for code, status in STATUS.items() if code not in internal}.items() <= told.items()


def test_every_metric_is_in_the_api_page():
    families = re.findall(r'"(labelbus_\w+)"', (ROOT / "dispatcher" / "metrics.py").read_text())
    text = (ROOT / "docs" / "api.md").read_text()
    assert len(families) > 20
    assert [family for family in families if not re.search(rf"`{family}(_total|_info)?`", text)] == []


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_to_headings_lead_to_headings():
    for page in PAGES:
        for target, anchor in re.findall(r"\]\((?!https?://)([^)#]*)#([^)]+)", page.read_text()):
            assert anchor in anchors((page.parent / target) if target else page), f"{page.name}: {target}#{anchor}"


FOLDERS = "bus|dispatcher|worker|logsink|converter|bench|labelbus|tools|examples|tests|docs|k8s|tf"

WRITTEN_LATER = {"tf/cluster/terraform.tfvars", "docs/performance/history/"}


def test_files_that_pages_name_exist():
    for page in PAGES:
        for path in re.findall(rf"`((?:{FOLDERS})/[\w./-]+)", page.read_text()):
            if re.fullmatch(r"labelbus/[a-z]+", path) or path.endswith("-") or path in WRITTEN_LATER:
                continue  # the name of an image or of a label of nodes; a pattern such as live-*.json
            assert (ROOT / path).exists(), f"{page.relative_to(ROOT)} names {path}"
