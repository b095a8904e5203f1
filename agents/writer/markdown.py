"""Foreign text in Markdown, put into an article without a chance to become markup."""

from __future__ import annotations

import html
import re

from base.text.prose import clean, one_line

_SPECIAL = re.compile(r"([\\`*_\[\]|~])")
_LINE_START = re.compile(r"^([#+=-]|\d+(?=[.)]))")
_ACTIVE_LINK = re.compile(r"\]\s*(?=[(\[:])")


def escaped(text: str) -> str:
    """Foreign text on one line that renders as itself: no HTML, emphasis, links, headings, lists or tables."""
    line = _SPECIAL.sub(r"\\\1", html.escape(one_line(text), quote=False))
    # A backslash before a digit is shown, so a number that would start a list loses its dot's meaning instead.
    if start := _LINE_START.match(line):
        at = start.end() if start.group(1).isdigit() else 0
        line = f"{line[:at]}\\{line[at:]}"
    return line


def tamed(markdown: str) -> str:
    """A model's Markdown with its headings, lists and emphasis, but without HTML and without link targets."""
    return _ACTIVE_LINK.sub("] ", clean(markdown).replace("<", "&lt;")).strip()


def headings(markdown: str) -> list[dict[str, object]]:
    """The second-level sections of an article: ``[{"heading", "words"}]``."""
    _, *parts = re.split(r"(?m)^## +", markdown)
    split = [part.partition("\n") for part in parts]
    return [{"heading": heading.strip(), "words": len(text.split())} for heading, _, text in split]
