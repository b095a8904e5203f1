"""Which items of two sequences are the same: a longest common subsequence, within a bound.

Myers's algorithm ("An O(ND) difference algorithm and its variations", 1986) finds the fewest missing and extra items.
Its work grows with how much differs; beyond a budget the items that stand once on either side are held together in
their longest common order, and what lies between them is tried again, so that the whole stays near O(n log n).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Final

Pairs = list[tuple[int, int]]

#: Steps of the algorithm, about a microsecond each, for one comparison of two runs.
WORK: Final = 3_000_000
#: Differences of values that are listed of two runs; what follows is counted.
ROOM: Final = 2_000
#: Missing and extra items of one sequence up to which they are looked for exactly; what is kept grows with its square.
MOST_EDITS: Final = 1_500


@dataclass(slots=True)
class Budget:
    """What is left of the work that one comparison may cost; ``exact``: it was enough so far. ``room``: differences of
    values that may still be listed."""

    left: int = WORK
    exact: bool = True
    room: int = ROOM


def aligned(a: Sequence[int], b: Sequence[int], budget: Budget) -> Pairs:
    """The places of what is the same in both, increasing on both sides; the most there can be, unless
    ``budget.exact`` is False afterwards."""
    start, stop = _ends(a, b)
    head = [(place, place) for place in range(start)]
    tail = [(len(a) - stop + place, len(b) - stop + place) for place in range(stop)]
    middle_a, middle_b = a[start : len(a) - stop], b[start : len(b) - stop]
    found = _myers(middle_a, middle_b, budget)
    if found is None:
        found = _anchored(middle_a, middle_b, budget)
    return head + [(i + start, j + start) for i, j in found] + tail


def gaps(pairs: Pairs, len_a: int, len_b: int) -> Generator[tuple[range, range]]:
    """What lies between the pairs, where anything does."""
    at_a = at_b = 0
    for i, j in (*pairs, (len_a, len_b)):
        if i > at_a or j > at_b:
            yield range(at_a, i), range(at_b, j)
        at_a, at_b = i + 1, j + 1


def _ends(a: Sequence[int], b: Sequence[int]) -> tuple[int, int]:
    """How many items are the same at the start, and how many others at the end."""
    most = min(len(a), len(b))
    start = 0
    while start < most and a[start] == b[start]:
        start += 1
    stop = 0
    while stop < most - start and a[len(a) - 1 - stop] == b[len(b) - 1 - stop]:
        stop += 1
    return start, stop


def _myers(a: Sequence[int], b: Sequence[int], budget: Budget) -> Pairs | None:
    """None when it takes more than may be spent."""
    n, m = len(a), len(b)
    if not n or not m:
        return []
    reach = {1: 0}
    history: list[array[int]] = []
    for edits in range(min(n + m, MOST_EDITS) + 1):
        history.append(array("q", (reach.get(k, -1) for k in range(-edits - 1, edits + 2))))
        for k in range(-edits, edits + 1, 2):
            x = reach[k + 1] if k == -edits or (k != edits and reach[k - 1] < reach[k + 1]) else reach[k - 1] + 1
            begun = x
            while x < n and x - k < m and a[x] == b[x - k]:
                x += 1
            reach[k] = x
            budget.left -= 1 + x - begun
            if x >= n and x - k >= m:
                return _backwards(n, m, history)
        if budget.left < 0:
            return None
    return None


def _backwards(n: int, m: int, history: list[array[int]]) -> Pairs:
    pairs: Pairs = []
    x, y = n, m
    for edits in range(len(history) - 1, -1, -1):
        reach, middle, k = history[edits], edits + 1, x - y
        down = k == -edits or (k != edits and reach[middle + k - 1] < reach[middle + k + 1])
        before = k + 1 if down else k - 1
        from_x = reach[middle + before] if edits else 0
        # Where the edit led to: from there on, items are the same.
        since = from_x if down or not edits else from_x + 1
        while x > since:
            x, y = x - 1, y - 1
            pairs.append((x, y))
        x, y = from_x, from_x - before
    pairs.reverse()
    return pairs


def _anchored(a: Sequence[int], b: Sequence[int], budget: Budget) -> Pairs:
    budget.exact = False
    anchors = _once_in_both(a, b)
    found: Pairs = []
    for among_a, among_b in gaps(anchors, len(a), len(b)):
        within = _between(a[among_a.start : among_a.stop], b[among_b.start : among_b.stop], budget)
        found += [(i + among_a.start, j + among_b.start) for i, j in within]
    return sorted({*anchors, *found})


def _between(a: Sequence[int], b: Sequence[int], budget: Budget) -> Pairs:
    """What is the same at the ends, and in the rest as far as it can still be afforded: else what is at its place."""
    start, stop = _ends(a, b)
    pairs = [(place, place) for place in range(start)]
    middle_a, middle_b = a[start : len(a) - stop], b[start : len(b) - stop]
    within = _myers(middle_a, middle_b, budget) if budget.left > 0 else None
    if within is None:
        both = zip(middle_a, middle_b, strict=False)
        within = [(place, place) for place, (left, right) in enumerate(both) if left == right]
    pairs += [(i + start, j + start) for i, j in within]
    return pairs + [(len(a) - stop + place, len(b) - stop + place) for place in range(stop)]


def _once_in_both(a: Sequence[int], b: Sequence[int]) -> Pairs:
    """The longest sequence in which items that stand once on either side have the same order (patience sorting)."""
    counts_a, counts_b = Counter(a), Counter(b)
    where = {item: place for place, item in enumerate(b) if counts_b[item] == 1}
    candidates = [(place, where[item]) for place, item in enumerate(a) if counts_a[item] == 1 and item in where]
    ends: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for index, (_, place) in enumerate(candidates):
        pile = bisect_left(ends, place)
        before.append(last[pile - 1] if pile else -1)
        if pile == len(ends):
            ends.append(place)
            last.append(index)
        else:
            ends[pile], last[pile] = place, index
    found: Pairs = []
    at = last[-1] if last else -1
    while at >= 0:
        found.append(candidates[at])
        at = before[at]
    found.reverse()
    return found
