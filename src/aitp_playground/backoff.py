"""How long to wait before the next attempt; the arithmetic is tenacity's."""

from __future__ import annotations

import random
from collections.abc import Callable

from tenacity import RetryCallState, wait_exponential

#: More would only make the powers of two longer.
_MOST_DOUBLINGS = 64


def doubling(first: float, most: float) -> Callable[[int], float]:
    """Seconds to wait after the n-th failure in a row (from 1): ``first``, twice that, …, never over ``most``."""
    wait = wait_exponential(multiplier=first, max=most)

    def after(failures: int) -> float:
        state = RetryCallState(None, None, (), {})  # type: ignore[arg-type]  # waits look at the attempt's number alone
        state.attempt_number = min(failures, _MOST_DOUBLINGS)
        return wait(state)

    return after


def shortened(seconds: float, jitter: Callable[[float, float], float] = random.uniform) -> float:
    """Between half of it and all: who failed together does not come back together."""
    return seconds * jitter(0.5, 1.0)
