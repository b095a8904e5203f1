"""As few items as can be are missing and extra, and what that may cost is bounded."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from aitp_playground.recording.alignment import MOST_EDITS, Budget, Pairs, aligned, gaps

sequences = st.lists(st.integers(0, 5), max_size=14)


def most_in_common(a: list[int], b: list[int]) -> int:
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, left in enumerate(a):
        for j, right in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if left == right else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


def is_alignment(pairs: Pairs, a: list[int], b: list[int]) -> bool:
    rising = all(x[0] < y[0] and x[1] < y[1] for x, y in pairwise(pairs))
    return rising and all(a[i] == b[j] for i, j in pairs)


@given(sequences, sequences)
def test_it_holds_as_many_together_as_there_can_be(a: list[int], b: list[int]) -> None:
    budget = Budget()
    pairs = aligned(a, b, budget)
    assert is_alignment(pairs, a, b)
    assert len(pairs) == most_in_common(a, b)
    assert budget.exact


@given(sequences, sequences, st.integers(0, 10))
def test_with_too_little_to_spend_it_is_an_alignment_all_the_same(a: list[int], b: list[int], left: int) -> None:
    budget = Budget(left)
    pairs = aligned(a, b, budget)
    assert is_alignment(pairs, a, b)
    assert not budget.exact or len(pairs) == most_in_common(a, b)


@given(sequences, sequences)
def test_what_lies_between_is_all_that_is_not_the_same(a: list[int], b: list[int]) -> None:
    pairs = aligned(a, b, Budget())
    between = list(gaps(pairs, len(a), len(b)))
    assert sorted([*(i for i, _ in pairs), *(i for in_a, _ in between for i in in_a)]) == list(range(len(a)))
    assert sorted([*(j for _, j in pairs), *(j for _, in_b in between for j in in_b)]) == list(range(len(b)))


def test_two_long_sequences_with_little_in_common_cost_no_more_than_they_may() -> None:
    a = [(number * 7919) % 50_021 for number in range(50_000)]
    b = [(number * 104_729) % 50_021 for number in range(50_000)]
    budget = Budget()
    pairs = aligned(a, b, budget)
    assert is_alignment(pairs, a, b)
    assert pairs
    assert not budget.exact
    # The last round of the algorithm may be begun with a little left.
    assert budget.left > -2 * (MOST_EDITS + len(a))


def test_a_long_sequence_with_few_changes_is_looked_at_exactly() -> None:
    a = list(range(40_000))
    b = [item for item in a if item % 100]
    budget = Budget()
    assert len(aligned(a, b, budget)) == len(b)
    assert budget.exact
