"""Regular expressions that files bring along: matched in linear time, or apart from the service with a time limit.

Patterns are written for RE2, which takes time proportional to the text, but also to the size of the pattern. Where both
are large, and for what RE2 has no word for (look-around, back references, repetitions beyond a thousand; matched by
Python's ``re``), there is a process of its own that is ended after a fifth of a second of CPU
(:mod:`aitp_playground.scenarios.judge`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import re2  # type: ignore[import-untyped]

MAX_PATTERN = 2000
#: Bytes that the program of one pattern may take.
_PROGRAM_BYTES = 1024 * 1024
#: Instructions of the pattern times characters: up to here the worst pattern takes some hundredths of a second.
_CHEAP_TO_MATCH = 5_000_000
#: So small a pattern takes some tenths of a second at worst, on the longest output there is.
_FEW_INSTRUCTIONS = 64


def is_linear(pattern: str) -> bool:
    """Whether it is matched in time proportional to the text."""
    return _compiled(pattern) is not None


def pattern_fault(pattern: str, linear: Callable[[str], bool] = is_linear) -> str | None:
    """Why this is no regular expression; None when it is one. ``linear``: whether the engine it is for knows it."""
    if len(pattern) > MAX_PATTERN:
        return f"it has {len(pattern)} characters; at most {MAX_PATTERN} are taken"
    if linear(pattern):
        return None
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as problem:
        return str(problem)
    return None


def linear_match(pattern: str, text: str) -> bool | None:
    """Whether ``pattern`` matches somewhere in ``text``; None when that must be found out apart."""
    compiled = _compiled(pattern)
    if compiled is None:
        return None
    instructions: int = compiled.programsize
    if instructions > _FEW_INSTRUCTIONS and instructions * len(text) > _CHEAP_TO_MATCH:
        return None
    return compiled.search(text) is not None


def linear_search(pattern: str, text: str) -> bool | None:
    """:func:`linear_match` here and now, whatever it costs; None for a pattern that RE2 does not know."""
    compiled = _compiled(pattern)
    return None if compiled is None else compiled.search(text) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _PROGRAM_BYTES
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError):
        return None
