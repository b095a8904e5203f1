"""JSON pointers (RFC 6901)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def escaped(name: str) -> str:
    """A name as one part of a pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def resolved(root: Any, reference: str) -> Any:
    """What a reference of the form ``#/a/b`` leads to, None when it leads nowhere."""
    if reference != "#" and not reference.startswith("#/"):
        return None
    target = root
    for part in reference[1:].split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(target, Mapping):
            target = target.get(name)
        elif isinstance(target, list) and name.isascii() and name.isdigit() and int(name) < len(target):
            target = target[int(name)]
        else:
            return None
    return target
