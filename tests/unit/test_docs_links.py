"""Links between the pages lead to pages, and to headings on them."""

from __future__ import annotations

import re

import pytest

from .test_docs_pages import DOCS, ROOT

PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md", ROOT / "SECURITY.md"]


def prose(name: str) -> str:
    return re.sub(r"^```.*?^```", "", (ROOT / name).read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(name: str) -> set[str]:
    """As they are made from headings where the pages are read."""
    headings = re.findall(r"^#+ (.*)$", prose(name), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", [path.relative_to(ROOT).as_posix() for path in PAGES])
def test_every_link_leads_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(name)):
        file, _, anchor = target.partition("#")
        if not re.match(r"https?:", target):
            path = ((ROOT / name).parent / file).resolve() if file else ROOT / name
            assert path.exists(), target
            assert not anchor or anchor in anchors(path.relative_to(ROOT).as_posix()), target
