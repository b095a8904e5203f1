"""Paths into JSON data: ``$`` followed by ``.name``, ``[index]`` and ``[*]`` parts.

``[*]`` gives the list of what the rest finds in each element, passing over those in which it finds nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_PART = re.compile(r"\.([A-Za-z0-9_@:-]+)|\[(\d{1,9}|\*)\]", re.ASCII)
PATH = re.compile(rf"\$(?:{_PART.pattern})*", re.ASCII)
#: What :func:`select` gives for "nothing there".
MISSING = object()


def select(path: str, value: Any) -> Any:
    """The value at ``path``, or :data:`MISSING`. Raises ValueError for what is not a path."""
    if (fault := path_fault(path)) is not None:
        raise ValueError(fault)
    return _follow(_PART.findall(path), value)


def finds_nothing(path: str, found: Any) -> bool:
    """Whether ``found``, as :func:`select` gave it for ``path``, holds nothing: no element had what was looked for."""
    if found is MISSING:
        return True
    return "[*]" in path and _hollow(found, path.count("[*]"))


def _hollow(found: Any, depth: int) -> bool:
    """Lists of lists, ``depth`` deep, without an element."""
    return depth > 0 and isinstance(found, list) and all(_hollow(item, depth - 1) for item in found)


def path_fault(path: str) -> str | None:
    """What is wrong with ``path``, in words; None when it is one."""
    if PATH.fullmatch(path):
        return None
    hint = f"; did you mean {'$.' + path!r}?" if PATH.fullmatch(f"$.{path}") else ""
    return f"{path!r} is not a path: write $, then .name, [index] and [*] parts{hint}"


def _follow(parts: Sequence[tuple[str, str]], value: Any) -> Any:
    for position, (name, index) in enumerate(parts):
        if index == "*" and isinstance(value, list):
            found = [_follow(parts[position + 1 :], item) for item in value]
            return [item for item in found if item is not MISSING]
        if name and isinstance(value, Mapping) and name in value:
            value = value[name]
        elif index.isdigit() and isinstance(value, list) and int(index) < len(value):
            value = value[int(index)]
        else:
            return MISSING
    return value
