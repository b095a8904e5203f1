"""What came of a run, in a few lines a person reads: an article's beginning, or the values of an output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aitp_playground.events.narration import plain, value_text

_FIRST_LINES = 6
_LINE = 100
_MAX_STEPS = 50


def digest(outputs: Mapping[str, Any]) -> Iterator[str]:
    """Lines about each step's output, in order. A text is told by its title and first lines, the rest by its values."""
    for position, (step, output) in enumerate(outputs.items()):
        if position == _MAX_STEPS:
            yield f"… and the outputs of {len(outputs) - _MAX_STEPS} more steps"
            return
        text = output.get("body") if isinstance(output, Mapping) else None
        if isinstance(text, str) and isinstance(output.get("title"), str):
            yield from _article(step, output["title"], text)
        else:
            yield f"{plain(step, _LINE)}: {value_text('', output)}"


def _article(step: str, title: str, text: str) -> Iterator[str]:
    yield f"{plain(step, _LINE)}: {plain(title, _LINE)}"
    lines = [line for line in text.splitlines() if line.strip() and line.lstrip("# ").strip() != title.strip()]
    for line in lines[:_FIRST_LINES]:
        yield f"  {plain(line, _LINE)}"
    if len(lines) > _FIRST_LINES:
        yield f"  … {len(lines) - _FIRST_LINES} more lines"
