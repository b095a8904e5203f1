"""Taking a JSON document apart, key by key, so that what nobody took is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class BootstrapError(Exception):
    """The document is not one. The message names the key and never quotes a value."""


class Section:
    """One JSON object being taken apart; what nobody took is an unknown key."""

    def __init__(self, value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise BootstrapError(f"{path or 'the bootstrap document'}: not a JSON object")
        self._left = dict(value)
        self._path = path

    @property
    def left(self) -> frozenset[str]:
        """The keys that nobody took yet."""
        return frozenset(self._left)

    def take(self, name: str, kind: type, *, none: bool = False) -> Any:
        if name not in self._left:
            raise BootstrapError(f"{self._path}{name}: missing")
        value = self._left.pop(name)
        if value is None and none:
            return None
        # True is an int to Python, never to the author of the document.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise BootstrapError(f"{self._path}{name}: not of type {kind.__name__}")
        return value

    def text(self, name: str) -> str:
        value: str = self.take(name, str)
        if not value:
            raise BootstrapError(f"{self._path}{name}: empty")
        return value

    def positive(self, name: str) -> int:
        value: int = self.take(name, int)
        if value <= 0:
            raise BootstrapError(f"{self._path}{name}: not positive")
        return value

    def number(self, name: str, least: int, most: int, *, default: int) -> int:
        value: int = self.take(name, int) if name in self._left else default
        if not least <= value <= most:
            raise BootstrapError(f"{self._path}{name}: not between {least} and {most}")
        return value

    def choice(self, name: str, *allowed: str, default: str | None = None) -> Any:
        value = default if default is not None and name not in self._left else self.text(name)
        if value not in allowed:
            raise BootstrapError(f"{self._path}{name}: not one of {', '.join(allowed)}")
        return value

    def url(self, name: str) -> str:
        value = self.text(name)
        if urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname:
            raise BootstrapError(f"{self._path}{name}: not an http or https URL")
        return value

    def names(self, name: str, *, absent_is_empty: bool = False) -> tuple[str, ...]:
        """Capability names, each once."""
        values = [] if absent_is_empty and name not in self._left else self.take(name, list)
        if not all(isinstance(value, str) and value.strip() == value and value for value in values):
            raise BootstrapError(f"{self._path}{name}: not a list of capability names")
        if len(set(values)) != len(values):
            raise BootstrapError(f"{self._path}{name}: a name appears twice")
        return tuple(values)

    def directory(self, name: str) -> str | None:
        """An absolute path; absent is None."""
        value: str | None = self.take(name, str, none=True) if name in self._left else None
        if value is not None and not Path(value).is_absolute():
            raise BootstrapError(f"{self._path}{name}: not an absolute path")
        return value

    def section(self, name: str) -> Section:
        return Section(self.take(name, dict), f"{self._path}{name}.")

    def optional(self, name: str, build: Callable[[Section], Any]) -> Any:
        value = self.take(name, dict, none=True)
        return None if value is None else build(Section(value, f"{self._path}{name}."))

    def finish(self) -> None:
        if self._left:
            raise BootstrapError(f"{self._path}{min(self._left)}: unknown key")
