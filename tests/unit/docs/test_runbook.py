"""What points into the runbook, or out of it, leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGE = DOCS / "runbook.md"
RULES = sorted((ROOT / "deploy/prometheus/rules").glob("*.yml"))
ALERT = re.compile(r"^\s*- alert: (\w+)$", re.MULTILINE)
ADDRESS = re.compile(r"runbook_url: \S*?(docs/[\w-]+\.md)#([\w-]+)")
LINK = re.compile(r"\]\(([^)#\s:]*)(?:#([\w-]+))?\)")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and most others make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("rules", RULES, ids=lambda path: path.stem)
def test_each_alert_has_its_section(rules: Path) -> None:
    """Who is woken by it finds at once what to do."""
    text = rules.read_text("utf-8")
    addresses = ADDRESS.findall(text)

    assert len(addresses) == len(ALERT.findall(text))
    assert [
        (page, anchor) for page, anchor in addresses if anchor not in anchors(ROOT / page)
    ] == []


def test_every_link_of_the_runbook_leads_somewhere() -> None:
    """Pages and their sections."""
    links = [
        (DOCS / page if page else PAGE, anchor) for page, anchor in LINK.findall(PAGE.read_text())
    ]

    assert links
    assert [page for page, _ in links if not page.exists()] == []
    sections = [(page.name, anchor) for page, anchor in links if anchor]
    assert [each for each in sections if each[1] not in anchors(DOCS / each[0])] == []


def test_what_the_doctor_advises_stands_in_the_runbook() -> None:
    """Its advice names sections of this page."""
    sources = (ROOT / "taskhub/cli/doctor").glob("*.py")
    named = {
        anchor
        for source in sources
        for anchor in re.findall(r"docs/runbook\.md#([\w-]+)", source.read_text("utf-8"))
    }

    assert named
    assert named <= anchors(PAGE)
