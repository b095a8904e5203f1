"""Where two pieces of JSON differ, as paths with both values."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aitp_playground.events.codec import encode_json
from aitp_playground.recording.alignment import Budget, aligned, gaps
from aitp_playground.recording.canonical import canonical

#: Differences of one output, or of one event, that are told; what follows is counted.
MOST: Final = 100
#: What one value may take up; of a longer text the part around the first difference is told.
LONGEST: Final = 2_000
_AROUND: Final = 200
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


#: In the place of a value that one side does not have.
ABSENT: Final = _Absent()


@dataclass(frozen=True, slots=True)
class Difference:
    """``path`` is JSONPath as in ``expect``, ``$.a[0].b``; its numbers are places in ``a``, of what only ``b`` has in
    ``b``. ``a`` and ``b`` are the values there, :data:`ABSENT` where there is none."""

    path: str
    a: Any
    b: Any

    def as_dict(self) -> dict[str, Any]:
        """``{"path", "a"?, "b"?}``: what is absent is left out."""
        told = {"path": self.path, "a": self.a, "b": self.b}
        return {name: value for name, value in told.items() if value is not ABSENT}


def differences(a: Any, b: Any, budget: Budget, path: str = "$") -> tuple[list[Difference], int]:
    """The first :data:`MOST` differences, depth first in the order of names; and how many there are beyond."""
    found: list[Difference] = []
    more = 0
    for difference in _walk(a, b, path, budget):
        if len(found) < MOST and budget.room > 0:
            budget.room -= 1
            found.append(_bounded(difference))
        else:
            more += 1
    return found, more


def _walk(a: Any, b: Any, path: str, budget: Budget) -> Generator[Difference]:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for name in sorted({*a, *b}):
            yield from _walk(a.get(name, ABSENT), b.get(name, ABSENT), _step(path, name), budget)
    elif isinstance(a, list) and isinstance(b, list):
        yield from _lists(a, b, path, budget)
    elif not same(a, b):
        yield Difference(path, a, b)


def _lists(a: list[Any], b: list[Any], path: str, budget: Budget) -> Generator[Difference]:
    numbers: dict[bytes, int] = {}
    left, right = ([numbers.setdefault(canonical(item), len(numbers)) for item in side] for side in (a, b))
    for in_a, in_b in gaps(aligned(left, right, budget), len(a), len(b)):
        both = min(len(in_a), len(in_b))
        for i, j in zip(in_a, in_b, strict=False):
            yield from _walk(a[i], b[j], f"{path}[{i}]", budget)
        for i in in_a[both:]:
            yield Difference(f"{path}[{i}]", a[i], ABSENT)
        for j in in_b[both:]:
            yield Difference(f"{path}[{j}]", ABSENT, b[j])


def same(a: Any, b: Any) -> bool:
    """Equality of JSON: ``true`` is not 1."""
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def _step(path: str, name: str) -> str:
    part = f".{name}" if _PLAIN.fullmatch(name) else f'["{name}"]'
    return f"{path}{part}" if path else part.lstrip(".")


def _bounded(difference: Difference) -> Difference:
    a, b = difference.a, difference.b
    if isinstance(a, str) and isinstance(b, str) and max(len(a), len(b)) > LONGEST:
        first = next((at for at, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
        return Difference(difference.path, _part(a, first), _part(b, first))
    return Difference(difference.path, bounded(a), bounded(b))


def _part(text: str, at: int) -> str:
    start, end = max(0, at - _AROUND), at + _AROUND
    return f"{'… ' if start else ''}{text[start:end]}{' …' if end < len(text) else ''}"


def bounded(value: Any) -> Any:
    """The value, or what there is to say of one that is too long to be told."""
    if value is ABSENT:
        return value
    if isinstance(value, str):
        return value if len(value) <= LONGEST else f"{value[:LONGEST]} … ({len(value)} characters)"
    size = len(encode_json(value))
    return value if size <= LONGEST else f"<{size} bytes of JSON>"
