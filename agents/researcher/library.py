"""The corpus: short passages in Markdown files, one file per theme, one ``##`` section per passage.

A section may end with ``See also: <title>, <title>``. A passage's source is ``<file>#<anchor>``, the anchor formed as
Markdown renderers form it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CORPUS = Path(__file__).resolve().parent / "corpus"


@dataclass(frozen=True, slots=True)
class Passage:
    """A section of the corpus. ``related`` holds titles of other passages."""

    title: str
    text: str
    theme: str
    source: str
    related: tuple[str, ...]


@cache
def passages() -> tuple[Passage, ...]:
    """All passages, in the order of file name and section; read once per process."""
    return tuple(passage for path in sorted(CORPUS.glob("*.md")) for passage in _sections(path))


def _sections(path: Path) -> Iterator[Passage]:
    theme, *sections = path.read_text(encoding="utf-8").split("\n## ")
    for section in sections:
        title, _, body = section.partition("\n")
        text, _, related = body.partition("See also:")
        yield Passage(
            title=title,
            text=" ".join(text.split()),
            theme=theme.strip().removeprefix("# "),
            source=f"{path.name}#{anchor(title)}",
            related=tuple(name for part in related.split(",") if (name := part.strip())),
        )


def anchor(title: str) -> str:
    """``did:web documents`` → ``didweb-documents``."""
    return re.sub(r"[^\w -]", "", title.casefold()).replace(" ", "-")
