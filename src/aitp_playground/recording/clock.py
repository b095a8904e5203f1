"""Times of a run, told apart from other numbers and texts, and said without saying when."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any, Final

TIME: Final = "<time>"
_DAY: Final = 86_400.0
#: What lies this far from the run's beginning is no time of the run, but one that it works with.
_BEFORE, _AFTER = _DAY, 400 * _DAY
#: From here on a number is taken for milliseconds.
_MILLISECONDS: Final = 1e11
#: The year 10000 in milliseconds; beyond lie numbers with which there is no reckoning, as far as infinity.
_FARTHEST: Final = 253_402_300_800_000
_MINUTE: Final = 60
_STEP: Final = 5


class Clock:
    """``began``: when the run did, Unix seconds."""

    def __init__(self, began: float) -> None:
        self._from, self._until = began - _BEFORE, began + _AFTER

    def near(self, moment: float) -> bool:
        """Whether this is a time at which something of the run can be, or end."""
        seconds = seconds_of(moment)
        return seconds is not None and self._from <= seconds <= self._until

    def text_is_near(self, text: str) -> bool:
        """The same for an ISO 8601 time."""
        moment = seconds_of(text)
        return moment is not None and self.near(moment)


def seconds_of(value: Any) -> float | None:
    """A time as Unix seconds: a number, or an ISO 8601 text (UTC without a zone); None for anything else, also for a
    number that no clock shows."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        if not -_FARTHEST < value < _FARTHEST:
            return None
        return value / 1000 if value > _MILLISECONDS else float(value)
    if not isinstance(value, str) or not 16 <= len(value) <= 40:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def lifetime(seconds: float, *, exact: bool) -> str:
    """How long something lives, ``<+3600s>``.

    Not ``exact``: the clock ran on while it was made, or what bounds it was; rounded up to whole minutes, below one to
    five seconds, so that it is what was meant.
    """
    if exact and seconds == int(seconds):
        return f"<{seconds:+.0f}s>"
    step = _MINUTE if seconds > _MINUTE - _STEP else _STEP
    return f"<{math.ceil(round(seconds, 3) / step) * step:+d}s>"


def gained(seconds: float) -> str:
    """By how much a life became longer, rounded down to whole minutes: meanwhile the one before it ran on."""
    return f"<{math.floor(seconds / _MINUTE) * _MINUTE:+d}s>" if seconds >= _MINUTE else f"<{seconds:+.0f}s>"
