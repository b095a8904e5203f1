"""The tables of ``docs/settings.md``, made from the settings: ``python -m tests.support.settings_reference FILE``, or
``make docs``.

A table begins with the setting that its mark names, and ends before that of the next mark: in the order of the model.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from aitp_playground.config import Settings
from aitp_playground.settings_fields import MOST, YEAR_SECS, Takes

_TABLE = re.compile(r"(?m)^(?P<mark><!-- Made by `make docs` from `(?P<first>[A-Z_]+)` on -->\n)(?:\|.*\n)*")
_HEAD = "| Variable | Default | Takes | |\n| --- | --- | --- | --- |\n"


def page(text: str) -> str:
    """The page with its tables made anew."""
    names = [name.upper() for name in Settings.model_fields]
    begins = [names.index(found["first"]) for found in _TABLE.finditer(text)]
    parts = (names[begin:end] for begin, end in pairwise([*begins, len(names)]))
    return _TABLE.sub(lambda found: found["mark"] + _HEAD + "".join(_rows(next(parts))), text)


def _rows(names: list[str]) -> Iterator[str]:
    for name in names:
        field = Settings.model_fields[name.lower()]
        cells = (f"`{name}`", default(field), _takes(field), field.description or "")
        yield f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in cells)}|\n"


def default(field: FieldInfo) -> str:
    """As the page shows it; nothing for what is empty."""
    match field.default:
        case SecretStr() | () | "":
            return ""
        case float():
            return f"{field.default:g}"
        case value:
            return str(value)


def _takes(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(field.annotation) if choice)
    words = [mark.words for mark in field.metadata if isinstance(mark, Takes)][-1:]
    return ", ".join([*words, *_bounds(field)])


def _bounds(field: FieldInfo) -> Iterator[str]:
    bounds: dict[str, Any] = {
        name: getattr(mark, name) for mark in field.metadata for name in ("ge", "gt", "le") if hasattr(mark, name)
    }
    if (high := bounds.get("le")) not in (None, MOST, YEAR_SECS):
        yield f"{bounds['ge']} to {high}"
    elif "gt" in bounds:
        yield f"above {bounds['gt']}"
    elif bounds.get("ge"):
        yield f"at least {bounds['ge']}"


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(page(file.read_text("utf-8")), "utf-8")
