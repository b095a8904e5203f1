"""Keeping secrets out of log lines: strings known to be secret, and values under names that sound secret."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

MASK = "[redacted]"

# The name must end so: token_expires_in says something about a token, it is none.
_SECRET_NAME = re.compile(
    r"(?i)(^|[_.\-])(tokens?|secrets?|seeds?|password|passwd|authorization|cookies?|api[_-]?keys?|private[_-]?key|"
    r"bearer|credentials?|pop|hmac)$"
)
_SHORTEST = 6
_DEEPEST = 8


class Secrets:
    """The strings to blot out. Small ones (under six characters) are ignored: they would blot out the language."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self._pattern: re.Pattern[str] | None = None

    def add(self, *values: str) -> None:
        """Register secrets; one that is added twice must be removed twice."""
        for value in values:
            if len(value) >= _SHORTEST:
                self._held[value] = self._held.get(value, 0) + 1
        self._compile()

    def remove(self, *values: str) -> None:
        """Forget secrets whose owner is gone."""
        for value in values:
            left = self._held.pop(value, 0) - 1
            if left > 0:
                self._held[value] = left
        self._compile()

    def blot(self, text: str) -> str:
        """``text`` with every registered secret replaced."""
        return self._pattern.sub(MASK, text) if self._pattern else text

    def _compile(self) -> None:
        longest_first = sorted(self._held, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


#: The secrets of this process.
SECRETS = Secrets()


class Vetted(dict[str, Any]):
    """An object whose maker has seen to it that it holds no secret under any name, and is worth its length."""


def redact(_logger: object, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: the entry with its secrets blotted out, at any depth."""
    return {name: _clean(name, value, _DEEPEST) for name, value in entry.items()}


def _clean(name: str, value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if value and _SECRET_NAME.search(name):
        return MASK
    if isinstance(value, str):
        return SECRETS.blot(value)
    if isinstance(value, bytes):
        return SECRETS.blot(value.decode(errors="replace"))
    if depth == 0:
        return "…"
    if isinstance(value, Vetted):
        return Vetted({key: _clean("", item, depth - 1) for key, item in value.items()})
    if isinstance(value, Mapping):
        return {SECRETS.blot(str(key)): _clean(str(key), item, depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean("", item, depth - 1) for item in value]
    return SECRETS.blot(str(value))
