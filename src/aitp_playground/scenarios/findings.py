"""What is said about a scenario file: where it is, and what to change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

#: Where a value stands in its file: mapping keys and list indices from the root.
KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """``level`` error: the file cannot be used. ``file`` is relative to its scenarios directory, ``line`` counts from
    1, ``field`` is dotted (``spec.workflow.steps.1.capability``) and empty for the file as a whole."""

    file: str
    line: int
    field: str
    message: str
    level: Literal["error", "warning"] = "error"

    def as_detail(self) -> dict[str, Any]:
        """``{"file", "line", "field", "message"}``, as ``registry_validation_error`` carries it."""
        return {"file": self.file, "line": self.line, "field": self.field, "message": self.message}

    def as_listed(self) -> dict[str, Any]:
        """``{"file", "line", "message"}``, as the scenario list carries it."""
        message = f"{self.field}: {self.message}" if self.field else self.message
        return {"file": self.file, "line": self.line, "message": message}


@dataclass(frozen=True, slots=True)
class Mark:
    """A line of a file."""

    file: str
    line: int


class Marks:
    """The line of every key path of a document, included files and all."""

    def __init__(self, file: str, known: Mapping[KeyPath, Mark] | None = None) -> None:
        self.file = file
        self._known = dict(known or {})

    def __setitem__(self, path: KeyPath, mark: Mark) -> None:
        self._known[path] = mark

    def __getitem__(self, path: KeyPath) -> Mark:
        """The mark of ``path``, or of its nearest ancestor that has one."""
        for length in range(len(path), -1, -1):
            if mark := self._known.get(path[:length]):
                return mark
        return Mark(self.file, 1)

    def __contains__(self, path: KeyPath) -> bool:
        return path in self._known

    def items(self) -> Iterable[tuple[KeyPath, Mark]]:
        """Every key path with its mark."""
        return self._known.items()

    def overlaid(self, other: Marks, sections: Iterable[KeyPath]) -> Marks:
        """These marks with everything below ``sections`` taken from ``other``."""
        taken = tuple(sections)

        def below(path: KeyPath) -> bool:
            return any(path[: len(section)] == section for section in taken)

        kept = {path: mark for path, mark in self._known.items() if not below(path)}
        return Marks(self.file, kept | {path: mark for path, mark in other._known.items() if below(path)})

    def finding(self, path: KeyPath, message: str, level: Literal["error", "warning"] = "error") -> Finding:
        """A finding about the value at ``path``."""
        mark = self[path]
        return Finding(mark.file, mark.line, ".".join(map(str, path)), message, level)


def meant(word: str, known: Iterable[str]) -> str | None:
    """The known name that ``word`` probably stands for."""
    return next(iter(get_close_matches(word, sorted(known), n=1, cutoff=0.6)), None)


def nearest(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` or, with nothing close, ``; known: …`` (at most a dozen)."""
    names = sorted(known)
    if close := meant(word, names):
        return f"; did you mean {close!r}?"
    return f"; known: {', '.join(names[:12])}" if names else ""
