"""How a comparison looks: like a diff, by steps and emitters, in the terminal's width."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final

import click

from aitp_playground.cli.diffing.sides import Side
from aitp_playground.cli.terminal.columns import colourful, columns
from aitp_playground.events.narration import plain
from aitp_playground.recording.comparison import Comparison, EventChange, SectionChange
from aitp_playground.recording.form import SERVICE, NormalForm
from aitp_playground.recording.values import ABSENT, Difference

_WIDTH, _NARROWEST = 80, 40
_LONGEST: Final = 2_000
_PLAYGROUND: Final = "the playground"
_MARKS: Final = {"missing": "-", "extra": "+", "moved": ">", "changed": "~"}
_COLOURS: Final = {"-": "red", "+": "green", ">": "yellow", "~": "yellow"}


class View:
    """Lines for standard output."""

    def __init__(self) -> None:
        self._colour = colourful()
        self._width = max(_NARROWEST, columns(_WIDTH))

    def lines(self, a: tuple[Side, NormalForm], b: tuple[Side, NormalForm], comparison: Comparison) -> Iterator[str]:
        """The whole of it."""
        if comparison.equal:
            yield "The same happened in both runs."
            return
        for mark, side in (("---", a), ("+++", b)):
            yield from self._line(mark, _which(side[0]), mark[0])
            yield from self._line("   ", _how(*side), mark[0])
        if comparison.run or comparison.more:
            yield self._title("run")
            yield from self._values(comparison.run, comparison.more, 1)
        for section in comparison.sections:
            yield from self._section(section)
        if comparison.end is not None:
            yield self._title("end of the run")
            yield from self._event(comparison.end, 1)
        if not comparison.exact:
            yield ""
            yield from self._wrapped(
                "", "The runs differ so much that not everything that is the same in both may have been found.", ""
            )

    def _section(self, section: SectionChange) -> Iterator[str]:
        before, after = section.outcome
        title = "outside of the steps" if section.step_id is None else f"step {plain(section.step_id, 200)}"
        if section.change in {"missing", "extra"}:
            mark = _MARKS[section.change]
            yield ""
            yield from self._line(
                mark, f"{title}: {before or after or 'not ended'}, {_count(section.count, 'event')}", mark
            )
            return
        ended = f": {before or 'not ended'}, now {after or 'not ended'}" if before != after else ""
        yield self._title(title + ended + (" (elsewhere among the steps)" if section.change == "moved" else ""))
        if section.output or section.more:
            yield "  output"
            yield from self._values(section.output, section.more, 2)
        for (by, peer), changes in groupby(section.events, lambda one: one.either.strand):
            who = plain(by, 100) if by != SERVICE else _PLAYGROUND
            yield f"  {who}" + (f", about {plain(peer.replace(' ', ' and '), 100)}" if peer else "")
            for change in changes:
                yield from self._event(change, 2)
        if section.more_events:
            yield f"  … and {_count(section.more_events, 'event')} more"

    def _event(self, change: EventChange, depth: int) -> Iterator[str]:
        mark = _MARKS[change.change]
        types = [plain(side.type, 100) for side in (change.a, change.b) if side is not None]
        numbers = [str(side.seq) for side in (change.a, change.b) if side is not None and side.seq]
        where = f" (seq {', now '.join(dict.fromkeys(numbers))})" if numbers else ""
        said = ", now ".join(dict.fromkeys(types)) + where
        if change.change == "moved":
            said += ": elsewhere among the others"
        yield from self._line("  " * depth + mark, said, mark)
        yield from self._values(change.fields, change.more, depth + 2)

    def _values(self, differences: Sequence[Difference], more: int, depth: int) -> Iterator[str]:
        indent = "  " * depth
        for difference in differences:
            yield from self._wrapped(indent, plain(difference.path, 500), indent)
            for mark, value in (("-", difference.a), ("+", difference.b)):
                if value is not ABSENT:
                    yield from self._line(f"{indent}  {mark}", _shown(value), mark)
        if more:
            yield f"{indent}… and {more} more"

    def _title(self, text: str) -> str:
        return "\n" + (click.style(text, bold=True) if self._colour else text)

    def _line(self, mark: str, text: str, colour: str) -> Iterator[str]:
        for line in self._wrapped(f"{mark} ", text, " " * (len(mark) + 1)):
            yield click.style(line, fg=_COLOURS[colour]) if self._colour else line

    def _wrapped(self, first: str, text: str, following: str) -> Iterator[str]:
        """``text`` in lines of the terminal's width, or, where it is a single word, beyond it: it is copied whole."""
        wrapped = textwrap.wrap(
            text,
            self._width,
            initial_indent=first,
            subsequent_indent=following,
            break_long_words=False,
            break_on_hyphens=False,
        )
        yield from wrapped or [first.rstrip()]


def _which(side: Side) -> str:
    return plain(side.given.run_id if side.file is None else f"{side.file} (run {side.given.run_id})", _LONGEST)


def _how(side: Side, form: NormalForm) -> str:
    template = f", template {side.given.template}" if side.given.template else ""
    ended = ", ".join(str(form.run[name]) for name in ("status", "proof") if form.run[name]) or "no end"
    return plain(f"{side.given.ref or 'no ref'}{template}: {ended}", _LONGEST)


def _shown(value: Any) -> str:
    return plain(json.dumps(value, ensure_ascii=False), _LONGEST)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
