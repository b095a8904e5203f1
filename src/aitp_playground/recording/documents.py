"""The normal form as a document, and as lines of JSON or YAML that a person can review.

The document: ``{"recording": 1, "run": {…}, "outside": [event], "steps": [{"step", "output"?, "events": [event]}],
"end": event}``, an event being ``{"by", "peer"?, "type", …its fields}`` with ``by`` left out for the playground.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import Any, Final

import yaml

from aitp_playground.events.codec import decode_json, encode_json
from aitp_playground.recording.canonical import canonical
from aitp_playground.recording.form import SERVICE, NormalForm, Section, Told

#: Raised with every change that a reader has to know of.
VERSION: Final = 1
_WIDTH: Final = 120


def as_document(form: NormalForm) -> dict[str, Any]:
    """The whole of it as plain data."""
    outside, *steps = form.sections
    return {
        "recording": VERSION,
        "run": dict(form.run),
        "outside": [_event(told) for told in outside.events],
        "steps": [_step(section) for section in steps],
        "end": None if form.end is None else _event(form.end),
    }


def from_document(document: Mapping[str, Any]) -> NormalForm:
    """The inverse of :func:`as_document`. Raises ValueError for another version, KeyError and TypeError for no such
    document."""
    if document["recording"] != VERSION:
        raise ValueError(f"this is a recording of version {document['recording']!r}; {VERSION} can be read")
    outside = Section(None, tuple(map(_told, document["outside"])))
    steps = (
        Section(
            step["step"],
            tuple(map(_told, step["events"])),
            canonical(step["output"]) if "output" in step else None,
        )
        for step in document["steps"]
    )
    end = document["end"]
    return NormalForm(document["run"], (outside, *steps), None if end is None else _told(end))


def to_lines(form: NormalForm) -> Generator[bytes]:
    """A line of JSON for the run, for each step and each event, in order; each ends with a line break."""
    yield encode_json({"recording": VERSION, "run": form.run}) + b"\n"
    for section in form.sections:
        if section.step_id is not None:
            yield encode_json({"step": section.step_id, **_output(section)}) + b"\n"
        for told in section.events:
            yield encode_json(_event(told)) + b"\n"
    if form.end is not None:
        yield encode_json({"end": _event(form.end)}) + b"\n"


def from_lines(lines: Iterable[bytes]) -> NormalForm:
    """The inverse of :func:`to_lines`. Raises ValueError, KeyError or TypeError for what is none."""
    document: dict[str, Any] = {"outside": [], "steps": [], "end": None}
    events: list[Any] = document["outside"]
    for line in lines:
        entry = decode_json(line)
        if "recording" in entry or "end" in entry:
            document |= entry
        elif "type" in entry:
            events.append(entry)
        else:
            events = []
            document["steps"].append({**entry, "events": events})
    return from_document(document)


def to_yaml(form: NormalForm) -> str:
    """The document in YAML, short mappings and lists on a line of their own."""
    return yaml.safe_dump(as_document(form), sort_keys=False, allow_unicode=True, width=_WIDTH, default_flow_style=None)


def from_yaml(text: str) -> NormalForm:
    """The inverse of :func:`to_yaml`. Raises YAMLError, ValueError, KeyError or TypeError for what is none."""
    return from_document(yaml.safe_load(text))


def _step(section: Section) -> dict[str, Any]:
    return {"step": section.step_id, **_output(section), "events": [_event(told) for told in section.events]}


def _output(section: Section) -> dict[str, Any]:
    return {} if section.output is None else {"output": decode_json(section.output)}


def _event(told: Told) -> dict[str, Any]:
    by = {} if told.by == SERVICE else {"by": told.by}
    peer = {"peer": told.peer} if told.peer else {}
    return {**by, **peer, "type": told.type, **told.fields()}


def _told(entry: Mapping[str, Any]) -> Told:
    fields = {name: value for name, value in entry.items() if name not in {"by", "peer", "type"}}
    return Told(entry["type"], entry.get("by", SERVICE), canonical(fields), entry.get("peer", ""))
