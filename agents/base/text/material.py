"""Reading a task: what a caller, or an earlier worker's output, gives a worker to work on.

Everything in a task is untrusted data. The worker's own keys are checked and named in the refusal; keys nobody reads
(a scenario's other inputs, fields of an earlier output) are ignored, so that the workers accept each other's outputs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from base.refusals import CapabilityError
from base.text.prose import clean, clip, defused, one_line, sentences

MAX_TOPIC = 500
MAX_TEXT = 200_000
MAX_ENTRIES = 100
MAX_PASSAGE = 4_000
_TOPIC_KEYS = ("topic", "query", "subject", "title")
_TEXT_KEYS = ("document", "body", "article", "draft", "content", "text", "prompt", "input", "message", "summary")
_ABOUT = re.compile(r"\b(?:writ(?:e|es|ing)|report|article|essay|note|post)\s+(?:about|on)\s+(.+)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Finding:
    """A passage and where it came from. ``score`` is the searcher's, 0 when nobody ranked it."""

    title: str
    passage: str
    source: str
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Material:
    """What a task offers: topic, the title of an earlier article, free text (each "" if none), findings and a style.

    ``sources`` maps the citation numbers of a cited text to their sources.
    """

    topic: str
    title: str
    text: str
    findings: tuple[Finding, ...]
    style: str | None
    sources: Mapping[int, str]


def read_material(task: Any) -> Material:
    """The material of a task. Raises :class:`CapabilityError` naming the field that is wrong."""
    if not isinstance(task, Mapping):
        raise CapabilityError(f"the input must be a JSON object, got {type(task).__name__}")
    topic = _first(task, _TOPIC_KEYS, MAX_TOPIC)
    text = _first(task, _TEXT_KEYS, MAX_TEXT)
    findings = _entries(task, "findings", _finding) + _entries(task, "risks", _risk)
    if not (topic or text or findings):
        raise CapabilityError("the input gives nothing to work on: fill one of topic, prompt, text, document, findings")
    style = one_line(_string(task["style"], "style", 64)) or None if task.get("style") is not None else None
    sources = dict(_entries(task, "citations", _citation))
    title = _first(task, ("title",), MAX_TOPIC)
    return Material(one_line(topic), one_line(title), text.strip(), findings, style, sources)


def topic_of(material: Material, fallback: str = "the material given") -> str:
    """A one-line topic: the one given, else what a short prompt is about, else the first line of the text."""
    if material.topic or not material.text:
        given = material.topic or (material.findings[0].title if material.findings else fallback)
    else:
        line = one_line(material.text.split("\n", 1)[0]).lstrip("# ")
        about = _ABOUT.search(line) if is_prompt(material.text) else None
        given = (about.group(1) if about else next(iter(sentences(line)), "")).rstrip(".!? ") or fallback
    return defused(clip(given, 200))


def is_prompt(text: str) -> bool:
    """A single short line says what to work on; anything longer is the material itself."""
    return "\n" not in text and len(text) <= 300 and len(sentences(text)) <= 1


def _first(task: Mapping[str, Any], keys: tuple[str, ...], limit: int) -> str:
    """The first key that holds text. Every one present is checked, so a wrong type is never passed over."""
    values = [_string(task[key], key, limit) for key in keys if task.get(key) is not None]
    return next((value for value in values if value.strip()), "")


def _string(value: Any, field: str, limit: int) -> str:
    if not isinstance(value, str):
        raise CapabilityError(f"{field} must be a string, got {type(value).__name__}")
    if len(value) > limit:
        raise CapabilityError(f"{field} must be at most {limit} characters, got {len(value)}")
    return clean(value)


def _entries(task: Mapping[str, Any], field: str, read: Any) -> tuple[Any, ...]:
    value = task.get(field)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise CapabilityError(f"{field} must be a list, got {type(value).__name__}")
    if len(value) > MAX_ENTRIES:
        raise CapabilityError(f"{field} must have at most {MAX_ENTRIES} entries, got {len(value)}")
    for index, entry in enumerate(value):
        if not isinstance(entry, Mapping):
            raise CapabilityError(f"{field}[{index}] must be an object, got {type(entry).__name__}")
    return tuple(read(entry, f"{field}[{index}]") for index, entry in enumerate(value))


def _finding(entry: Mapping[str, Any], field: str) -> Finding:
    passage = one_line(_string(entry.get("passage"), f"{field}.passage", MAX_PASSAGE))
    if not passage:
        raise CapabilityError(f"{field}.passage must not be empty")
    title = one_line(_string(entry.get("title", ""), f"{field}.title", MAX_TOPIC))
    source = one_line(_string(entry.get("source", ""), f"{field}.source", MAX_TOPIC))
    score = entry.get("score", 0)
    if isinstance(score, bool) or not isinstance(score, int | float) or not abs(score) < 1e9:
        raise CapabilityError(f"{field}.score must be a number")
    return Finding(title or clip(passage, 60), passage, source or "source not given", float(score))


def _risk(entry: Mapping[str, Any], field: str) -> Finding:
    """An analyzer's risk as a finding, so that a risk list can be written up and reviewed again."""
    statement = one_line(_string(entry.get("statement"), f"{field}.statement", MAX_PASSAGE))
    if not statement:
        raise CapabilityError(f"{field}.statement must not be empty")
    category = one_line(_string(entry.get("category", "risk"), f"{field}.category", MAX_TOPIC))
    evidence = entry.get("evidence")
    source = evidence.get("source") if isinstance(evidence, Mapping) else None
    return Finding(category, statement, one_line(source)[:MAX_TOPIC] if isinstance(source, str) else "risk analysis")


def _citation(entry: Mapping[str, Any], field: str) -> tuple[int, str]:
    number = entry.get("number")
    if isinstance(number, bool) or not isinstance(number, int):
        raise CapabilityError(f"{field}.number must be an integer")
    return number, one_line(_string(entry.get("source"), f"{field}.source", MAX_TOPIC))
