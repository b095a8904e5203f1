"""Finding and ranking the risks a text speaks of: the same text gives the same list.

A sentence with a category's cue is a risk, unless every cue in it is denied ("no sign of tampering"). Its score is
severity times likelihood, 1 to 25. A sentence that names a control ("replay is refused") stays on the list with its
likelihood lowered: a mitigated risk is still one, it only ranks behind.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from analyzer.lexicon import (
    CATEGORIES,
    CERTAIN,
    DENIAL,
    LIKELY,
    MILD,
    MISSING_SAFEGUARD,
    MITIGATED,
    SEVERE,
    UNLIKELY,
    Category,
    Cues,
)
from base.text.prose import clip, defused, terms

MAX_SENTENCES = 2_000
MAX_RISKS = 25
MAX_STATEMENT = 400
#: Two statements of a category that share this much of their words say the same.
SAME = 0.7

_CITED = re.compile(r"\s*\[(\d{1,3})\]")
_LEVELS = ((16, "critical"), (11, "high"), (6, "medium"), (1, "low"))


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence and where it is from: its number in the text, from 1, and its source, "" when unknown."""

    text: str
    number: int
    source: str = ""


@dataclass(frozen=True, slots=True)
class Risk:
    """A risk as read off one sentence. ``cues`` are the words that gave it away."""

    statement: str
    category: Category
    severity: int
    likelihood: int
    mitigated: bool
    cues: tuple[str, ...]
    sentence: Sentence

    @property
    def score(self) -> int:
        """Severity times likelihood."""
        return self.severity * self.likelihood

    def as_json(self) -> dict[str, Any]:
        """The risk as the analyzer reports it."""
        evidence: dict[str, Any] = {"cues": list(self.cues), "sentence": self.sentence.number}
        if self.sentence.source:
            evidence["source"] = defused(self.sentence.source)
        return {
            "statement": self.statement,
            "category": self.category.name,
            "severity": self.severity,
            "likelihood": self.likelihood,
            "score": self.score,
            "level": level(self.score),
            "mitigated": self.mitigated,
            "evidence": evidence,
        }


def find_risks(sentences: Iterable[Sentence]) -> list[Risk]:
    """The distinct risks, gravest first; equal ones in the order of the text. At most ``MAX_RISKS``."""
    found = [risk for sentence in sentences if (risk := _risk(sentence)) is not None]
    found.sort(key=lambda risk: (-risk.score, -risk.severity, risk.sentence.number))
    return _distinct(found)[:MAX_RISKS]


def level(score: int) -> str:
    """low, medium, high or critical."""
    return next(name for least, name in _LEVELS if score >= least)


def traced(sentences: Iterable[str], sources: Mapping[int, str]) -> Iterator[Sentence]:
    """Numbered sentences; a citation number is taken out of the text and looked up in ``sources``."""
    for number, sentence in enumerate(sentences, 1):
        if number > MAX_SENTENCES:
            return
        cited = [sources[int(found)] for found in _CITED.findall(sentence) if int(found) in sources]
        yield Sentence(_CITED.sub("", sentence).strip(), number, cited[0] if cited else "")


def _risk(sentence: Sentence) -> Risk | None:
    """The gravest risk the sentence speaks of; a sentence counts once, whatever it touches on."""
    text = sentence.text[: 2 * MAX_STATEMENT]
    best: tuple[Category, tuple[str, ...]] | None = None
    for category in (MISSING_SAFEGUARD, *CATEGORIES):
        cues = _cues(category, text)
        if cues and (best is None or category.severity > best[0].severity):
            best = category, cues
    if best is None:
        return None
    category, cues = best
    # A lacking control names the control, whose verb must not pass for one at work.
    mitigated = category is not MISSING_SAFEGUARD and _affirmed(MITIGATED, text)
    severity = category.severity + bool(SEVERE.pattern.search(text)) - bool(MILD.pattern.search(text))
    likelihood = _likelihood(text) - (2 if mitigated else 0)
    statement = defused(clip(text, MAX_STATEMENT))
    return Risk(statement, category, _rating(severity), _rating(likelihood), mitigated, cues, sentence)


def _cues(category: Category, text: str) -> tuple[str, ...]:
    """The cues of a category that the text affirms, lower case, each once."""
    affirmed = (
        match.group().casefold()
        for match in category.cues.pattern.finditer(text)
        if category is MISSING_SAFEGUARD or not DENIAL.pattern.search(text, max(0, match.start() - 60), match.start())
    )
    return tuple(dict.fromkeys(affirmed))


def _affirmed(cues: Cues, text: str) -> bool:
    return any(not DENIAL.pattern.search(text, max(0, m.start() - 60), m.start()) for m in cues.pattern.finditer(text))


def _likelihood(text: str) -> int:
    # "unlikely" first: it would otherwise lose against a "will" in the same sentence.
    for words, rating in ((UNLIKELY, 1), (LIKELY, 4), (CERTAIN, 5)):
        if words.pattern.search(text):
            return rating
    return 3


def _rating(value: int) -> int:
    return min(5, max(1, value))


def _distinct(risks: list[Risk]) -> list[Risk]:
    kept: list[tuple[Risk, set[str]]] = []
    for risk in risks:
        words = set(terms(risk.statement))
        if not any(
            other.category is risk.category and len(words & seen) >= SAME * min(len(words), len(seen))
            for other, seen in kept
        ):
            kept.append((risk, words))
            if len(kept) == MAX_RISKS:
                break
    return [risk for risk, _ in kept]
