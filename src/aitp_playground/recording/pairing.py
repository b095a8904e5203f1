"""Which of the events that are not the same on both sides are one event that changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from aitp_playground.recording.alignment import Budget, aligned
from aitp_playground.recording.form import Told

#: Events on either side of one gap, multiplied, up to which the likest pairs are looked for.
MOST_PAIRS: Final = 2_500
#: What looking at one pair costs, in steps of an alignment.
_WORK: Final = 10
#: A pair of one type is better than a missing and an extra event, however little they have in common.
_ALONE: Final = 1.0
_DIFFERENT: Final = 1.5

Pair = tuple[int | None, int | None]


def paired(a: Sequence[Told], b: Sequence[Told], budget: Budget) -> list[Pair]:
    """Every place of either side once, in order: alone, or with the place of the same type that is likest to it."""
    if not a or not b:
        return [*((i, None) for i in range(len(a))), *((None, j) for j in range(len(b)))]
    if len(a) * len(b) > min(MOST_PAIRS, budget.left):
        return _by_type(a, b, budget)
    budget.left -= len(a) * len(b) * _WORK
    return _likest(a, b)


def _by_type(a: Sequence[Told], b: Sequence[Told], budget: Budget) -> list[Pair]:
    numbers: dict[str, int] = {}
    left, right = ([numbers.setdefault(told.type, len(numbers)) for told in side] for side in (a, b))
    pairs = aligned(left, right, budget)
    found: list[Pair] = []
    for (among_a, among_b), pair in zip(_around(pairs, len(a), len(b)), [*pairs, None], strict=True):
        found += [*((i, None) for i in among_a), *((None, j) for j in among_b), *([pair] if pair else [])]
    return found


def _around(pairs: Sequence[tuple[int, int]], len_a: int, len_b: int) -> Iterator[tuple[range, range]]:
    """Before each pair and after the last, also where nothing is."""
    at_a = at_b = 0
    for i, j in (*pairs, (len_a, len_b)):
        yield range(at_a, i), range(at_b, j)
        at_a, at_b = i + 1, j + 1


def _likest(a: Sequence[Told], b: Sequence[Told]) -> list[Pair]:
    """The cheapest alignment (Needleman and Wunsch), from the end so that it can be read forwards."""
    parts_a, parts_b = [_parts(told) for told in a], [_parts(told) for told in b]
    costs = [[0.0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a), -1, -1):
        for j in range(len(b), -1, -1):
            if i == len(a) or j == len(b):
                costs[i][j] = (len(a) - i + len(b) - j) * _ALONE
                continue
            alone = min(costs[i + 1][j], costs[i][j + 1]) + _ALONE
            costs[i][j] = min(alone, costs[i + 1][j + 1] + _cost(a[i], b[j], parts_a[i], parts_b[j]))
    found: list[Pair] = []
    i = j = 0
    while i < len(a) and j < len(b):
        if costs[i][j] == costs[i + 1][j + 1] + _cost(a[i], b[j], parts_a[i], parts_b[j]):
            found.append((i, j))
            i, j = i + 1, j + 1
        elif costs[i][j] == costs[i + 1][j] + _ALONE:
            found.append((i, None))
            i += 1
        else:
            found.append((None, j))
            j += 1
    return [*found, *((at, None) for at in range(i, len(a))), *((None, at) for at in range(j, len(b)))]


def _cost(a: Told, b: Told, parts_a: frozenset[str], parts_b: frozenset[str]) -> float:
    """0 for the same, 2 for another type, so that these are never a pair."""
    if a.type != b.type:
        return 2 * _ALONE + 1
    every = len(parts_a | parts_b)
    return _DIFFERENT * (len(parts_a ^ parts_b) / every) if every else 0.0


def _parts(told: Told) -> frozenset[str]:
    return frozenset(_leaves(told.fields(), ""))


def _leaves(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _leaves(part, f"{path}.{name}")
    else:
        yield f"{path}={value!r}"
