"""Comparing two normal forms: as few differences as explain them, in bounded time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aitp_playground.events.codec import decode_json
from aitp_playground.events.vocabulary import STEP_ENDS
from aitp_playground.recording.alignment import Budget, Pairs, aligned, gaps
from aitp_playground.recording.comparison import Comparison, EventChange, SectionChange
from aitp_playground.recording.form import NormalForm, Section, Told
from aitp_playground.recording.pairing import paired
from aitp_playground.recording.values import ABSENT, Difference, differences

#: Changed events of one step that are listed; what follows is counted.
MOST_EVENTS: Final = 200
#: What is compared only where both sides know it: a log of events alone does not say what a run was started with.
_GIVEN: Final = ("inputs", "faults")


def compared(a: NormalForm, b: NormalForm) -> Comparison:
    """What differs. The same two forms always give the same answer."""
    budget = Budget()
    run, more = _run(a.run, b.run, budget)
    sections = [change for change in _sections(a, b, budget) if change is not None]
    return Comparison(
        run=tuple(run),
        more=more,
        sections=tuple(sections),
        end=_end(a.end, b.end, budget),
        exact=budget.exact,
    )


def _run(a: Mapping[str, Any], b: Mapping[str, Any], budget: Budget) -> tuple[list[Difference], int]:
    """In the order of the names in ``a``."""
    listed: list[Difference] = []
    beyond = 0
    for name in a:
        if name not in _GIVEN or None not in (a.get(name), b.get(name)):
            found, more = differences(a.get(name, ABSENT), b.get(name, ABSENT), budget, name)
            listed += found
            beyond += more
    return listed, beyond


def _sections(a: NormalForm, b: NormalForm, budget: Budget) -> list[SectionChange | None]:
    """In the order of ``a``; steps that only ``b`` has stand where they are there."""
    ids_a = [section.step_id for section in a.sections]
    ids_b = [section.step_id for section in b.sections]
    in_a, in_b = dict(zip(ids_a, a.sections, strict=True)), dict(zip(ids_b, b.sections, strict=True))
    numbers: dict[str | None, int] = {}
    left, right = ([numbers.setdefault(one, len(numbers)) for one in ids] for ids in (ids_a, ids_b))
    pairs = aligned(left, right, budget)
    kept = {ids_a[i] for i, _ in pairs}
    return [_section(in_a.get(one), in_b.get(one), one not in kept, budget) for one in _merged(ids_a, ids_b, pairs)]


def _merged(a: Sequence[str | None], b: Sequence[str | None], pairs: Pairs) -> dict[str | None, None]:
    """All of both in one order; one that stands elsewhere in ``b`` stands where it is in ``a``."""
    found: dict[str | None, None] = {}
    elsewhere = set(a)
    at_a = at_b = 0
    for i, j in (*pairs, (len(a), len(b))):
        found |= dict.fromkeys([*a[at_a : i + 1], *(one for one in b[at_b:j] if one not in elsewhere)])
        at_a, at_b = i + 1, j + 1
    return found


def _section(a: Section | None, b: Section | None, moved: bool, budget: Budget) -> SectionChange | None:
    if a is None or b is None:
        only = a or b
        assert only is not None
        outcome = (only.outcome, None) if b is None else (None, only.outcome)
        return SectionChange(only.step_id, "extra" if a is None else "missing", outcome, count=len(only.events))
    if a == b and not moved:
        return None
    output, more = differences(_output(a), _output(b), budget)
    events = _events(a, b, budget)
    if not (output or more or events or moved):
        return None  # what one emitter said stands elsewhere among what others said
    return SectionChange(
        a.step_id,
        "moved" if moved else "changed",
        (a.outcome, b.outcome),
        tuple(output),
        more,
        tuple(events[:MOST_EVENTS]),
        max(0, len(events) - MOST_EVENTS),
    )


def _output(section: Section) -> Any:
    return ABSENT if section.output is None else decode_json(section.output)


def _events(a: Section, b: Section, budget: Budget) -> list[EventChange]:
    """What differs, emitter by emitter; the end of the step, whichever it is, last."""
    strands: dict[tuple[str, str], tuple[list[Told], list[Told]]] = {}
    ends: tuple[list[Told], list[Told]] = ([], [])
    for side, section in enumerate((a, b)):
        for told in section.events:
            into = ends if told.type in STEP_ENDS else strands.setdefault(told.strand, ([], []))
            into[side].append(told)
    found = [change for in_a, in_b in strands.values() for change in _strand(in_a, in_b, budget)]
    last = _end(ends[0][-1] if ends[0] else None, ends[1][-1] if ends[1] else None, budget)
    return [*found, *([last] if last else [])]


def _end(a: Told | None, b: Told | None, budget: Budget) -> EventChange | None:
    """There is but one on either side, so these are a pair whatever their types are."""
    if a is None or b is None:
        return None if a is b else _alone(a, b)
    return None if a == b else _changed(a, b, budget)


def _strand(a: list[Told], b: list[Told], budget: Budget) -> list[EventChange]:
    numbers: dict[Told, int] = {}
    left, right = ([numbers.setdefault(told, len(numbers)) for told in side] for side in (a, b))
    found: list[EventChange] = []
    for in_a, in_b in gaps(aligned(left, right, budget), len(a), len(b)):
        among_a, among_b = a[in_a.start : in_a.stop], b[in_b.start : in_b.stop]
        for i, j in paired(among_a, among_b, budget):
            one, other = None if i is None else among_a[i], None if j is None else among_b[j]
            found.append(_changed(one, other, budget) if one and other else _alone(one, other))
    return _with_moves(found)


def _with_moves(changes: list[EventChange]) -> list[EventChange]:
    """What is missing at one place and extra at another only stands elsewhere."""
    extra: dict[Told, list[int]] = defaultdict(list)
    for place, change in enumerate(changes):
        if change.change == "extra":
            extra[change.either].append(place)
    taken: set[int] = set()
    found: dict[int, EventChange] = {}
    for place, change in enumerate(changes):
        if change.change == "missing" and (places := extra.get(change.either)):
            elsewhere = places.pop(0)
            taken.add(elsewhere)
            found[place] = EventChange("moved", change.a, changes[elsewhere].b)
        else:
            found[place] = change
    return [change for place, change in found.items() if place not in taken]


def _alone(a: Told | None, b: Told | None) -> EventChange:
    return EventChange("extra" if a is None else "missing", a, b)


def _changed(a: Told, b: Told, budget: Budget) -> EventChange:
    fields, more = differences(a.fields(), b.fields(), budget, "")
    return EventChange("changed", a, b, tuple(fields), more)
