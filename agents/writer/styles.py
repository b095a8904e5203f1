"""The three styles. Each turns the same cited claims into an article of its own structure and wording.

A style gets text that is already safe for Markdown and returns ``(title, lines)``; the title is plain, the lines make
up the body as far as the list of sources. Every sentence that comes from a source ends with its number in brackets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_DEMAND = re.compile(
    r"\b(?:must|should|has to|have to|need(?:s)? to|ought to|never|refuse[sd]?|is limited|cannot)\b", re.IGNORECASE
)
_CONNECTIVES = ("In addition,", "Relatedly,", "A further point concerns", "Finally,")


@dataclass(frozen=True, slots=True)
class Claim:
    """What one source says: its sentences, and the number it is cited by. ``weight`` is its relevance, 0 to 1."""

    number: int
    title: str
    sentences: tuple[str, ...]
    weight: float

    @property
    def lead(self) -> str:
        """The first sentence, cited."""
        return self.cited(self.sentences[0])

    def cited(self, sentence: str) -> str:
        """``sentence`` with this source's number before its full stop, so that splitting keeps the two together."""
        end = sentence[-1] if sentence[-1] in ".!?" else "."
        return f"{sentence.rstrip('.!?')} [{self.number}]{end}"


Style = Callable[[str, str, Sequence[Claim]], tuple[str, list[str]]]


def academic(title: str, topic: str, claims: Sequence[Claim]) -> tuple[str, list[str]]:
    """Abstract, numbered sections, one subsection per source, discussion and limitations; impersonal wording."""
    best = claims[0]
    abstract = (
        f"This review examines {topic} on the basis of {_count(claims)}. *{best.title}*, the most relevant, states the "
        f"following. {best.lead}"
    )
    approach = (
        f"The question of {topic} is approached here through what the consulted sources assert; no further assumption "
        "is introduced. Statements are attributed to their source by number."
    )
    lines = ["## Abstract", abstract, "## 1. Introduction", approach, "## 2. Evidence"]
    for place, claim in enumerate(claims, 1):
        lines += [f"### 2.{place} {claim.title}", " ".join(map(claim.cited, claim.sentences))]
    return f"{title}: A Review of the Evidence", [
        *lines,
        "## 3. Discussion",
        _discussion(claims),
        *_limitations(claims),
    ]


def casual(title: str, topic: str, claims: Sequence[Claim]) -> tuple[str, list[str]]:
    """An opening, a handful of bullets and one thing to remember; short and addressed to the reader."""
    best = claims[0]
    lines = [
        f"Curious about {topic}? Here's what you'd want to know first: {best.lead}",
        "## What stands out",
        "\n".join(f"- **{claim.title}**: {claim.lead}" for claim in claims),
    ]
    if more := [claim.cited(claim.sentences[1]) for claim in claims[:4] if len(claim.sentences) > 1]:
        lines += ["## And it doesn't stop there", " ".join(more)]
    lines += ["## If you remember one thing", f"It's this: {best.cited(best.sentences[-1])}"]
    return f"{title}, in plain words", lines


def technical(title: str, topic: str, claims: Sequence[Claim]) -> tuple[str, list[str]]:
    """Scope, a table of subjects, requirements as a numbered list and the remaining facts as bullets; terse."""
    told = [(claim, sentence) for claim in claims for sentence in claim.sentences]
    demands = [claim.cited(sentence) for claim, sentence in told if _DEMAND.search(sentence)]
    facts = [f"- {claim.title}: {claim.cited(sentence)}" for claim, sentence in told if not _DEMAND.search(sentence)]
    rows = [f"| {claim.number} | {claim.title} | {claim.weight:.2f} |" for claim in claims]
    lines = [
        "## Scope",
        f"Subject: {topic}. Input: {_count(claims)}. Numbers in brackets refer to the list of sources.",
        "## Subjects",
        "\n".join(["| No. | Subject | Relevance |", "| --- | --- | --- |", *rows]),
    ]
    if demands:
        lines += ["## Requirements", "\n".join(f"{place}. {demand}" for place, demand in enumerate(demands, 1))]
    if facts:
        lines += ["## Facts", "\n".join(facts)]
    return f"{title}: Technical Note", lines


STYLES: dict[str, Style] = {"academic": academic, "casual": casual, "technical": technical}

#: What a style says when it was given a topic and nothing that can be cited.
UNSOURCED = {
    "academic": "No source was supplied on {topic}; this paper therefore asserts nothing about it. "
    "A search of the literature is the necessary next step.",
    "casual": "We've been asked about {topic}, but nobody gave us anything to go on, so we won't make things up. "
    "Send us some findings and we'll get going!",
    "technical": "Subject: {topic}. Input: 0 sources. No statement can be derived. Required: findings with sources.",
}
UNSOURCED_HEADINGS = {"academic": "Abstract", "casual": "Nothing to tell yet", "technical": "Scope"}


def _discussion(claims: Sequence[Claim]) -> str:
    """Each further source set against the first, with its last sentence as the point it adds."""
    if len(claims) == 1:
        return "With a single source at hand, no comparison is possible, and its statements stand uncorroborated."
    first = f"Source [{claims[0].number}] bears most directly on the question."
    points = []
    for connective, claim in zip(_CONNECTIVES, claims[1:], strict=False):
        joint = f"{connective} " if connective.endswith(",") else f"{connective} the following. "
        points.append(f"{joint}*{claim.title}* adds: {claim.cited(claim.sentences[-1])}")
    return " ".join([first, *points])


def _limitations(claims: Sequence[Claim]) -> list[str]:
    weak = [f"[{claim.number}]" for claim in claims if claim.weight < 0.5]
    caveat = f" Of limited relevance: {', '.join(weak)}." if weak else ""
    basis = (
        f"The review rests on {_count(claims)} and did not seek others.{caveat} It reports what the sources state and "
        "does not test it."
    )
    return ["## 4. Limitations", basis]


def _count(claims: Sequence[Claim]) -> str:
    return f"{len(claims)} source{'' if len(claims) == 1 else 's'}"
