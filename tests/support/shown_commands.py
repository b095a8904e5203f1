"""The commands that README.md and the pages below docs/ show."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _blocks(text: str) -> list[str]:
    """Indented by four blanks outside of fences, and what stands in fences that say ``sh``."""
    fenced = [body for language, body in _FENCE.findall(text) if language == "sh"]
    indented = re.findall(r"(?:^(?: {4}.*)?\n)+", _FENCE.sub("", text), re.MULTILINE)
    return [*(re.sub(r"^ {4}", "", block, flags=re.MULTILINE) for block in indented if block.strip()), *fenced]


def blocks(page: str, title: str = "") -> list[list[str]]:
    """The commands of a page, or of one section of it, by the paragraphs they stand in.

    Continued lines are joined, and comments left out.
    """
    text = (ROOT / page).read_text(encoding="utf-8")
    text = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0] if title else text
    found = []
    for block in _blocks(text):
        for paragraph in re.split(r"\n\n+", re.sub(r"\\\n +", "", block).strip()):
            lines = [re.sub(r"  +# .*|    in another$", "", line).strip() for line in paragraph.splitlines()]
            found.append([line for line in lines if line])
    return found


def commands(page: str, title: str = "") -> list[str]:
    return [line for block in blocks(page, title) for line in block]
