"""HTML that is put together from parts: text is always text, whatever stands in it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import NewType

#: Markup that was made here; a ``str`` is text that is still to be escaped.
Html = NewType("Html", str)
_CODE = re.compile(r"`([^`]+)`")


def text(words: str) -> Html:
    """The words as they are."""
    return Html(escape(words))


def el(tag: str, *inside: Html | str, **attributes: str) -> Html:
    """An element. ``class_`` and the like stand for names that Python has taken."""
    named = "".join(f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"' for name, value in attributes.items())
    return Html(f"<{tag}{named}>{joined(inside)}</{tag}>")


def joined(parts: Iterable[Html | str], between: str = "") -> Html:
    """The parts, with nothing or ``between`` in between, which is markup."""
    return Html(between.join(parts))


def code(words: str) -> Html:
    """A name or a value."""
    return el("code", text(words))


def line(words: str) -> Html:
    """A sentence, in which backticks mark code."""
    pieces = _CODE.split(words)
    return joined(code(piece) if index % 2 else text(piece) for index, piece in enumerate(pieces))


def prose(words: str) -> Html:
    """Paragraphs, and lists whose entries begin with ``- ``."""
    made: list[Html] = []
    entries: list[Html] = []
    for paragraph in words.splitlines():
        if paragraph.startswith("- "):
            entries.append(el("li", line(paragraph.removeprefix("- "))))
            continue
        if entries:
            made.append(el("ul", *entries))
            entries = []
        if paragraph.strip():
            made.append(el("p", line(paragraph)))
    if entries:
        made.append(el("ul", *entries))
    return joined(made)


def table(heads: Iterable[str], rows: Iterable[Iterable[Html]], caption: str) -> Html:
    """A table, in which every cell says the head of its column too, for where there is no room for columns."""
    names = list(heads)
    body = [
        el("tr", *(el("td", cell, data_head=name) for name, cell in zip(names, cells, strict=True))) for cells in rows
    ]
    return el(
        "table",
        el("caption", text(caption)),
        el("thead", el("tr", *(el("th", text(name), scope="col") for name in names))),
        el("tbody", *body),
    )
