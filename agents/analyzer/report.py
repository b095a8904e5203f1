"""The analyzer's answer: ranked risks, an overall rating and what to do."""

from __future__ import annotations

from typing import Any

from analyzer.risks import Risk, Sentence, find_risks, level, traced
from base.text.material import Material, topic_of
from base.text.prose import defused, plain, sentences

MAX_RECOMMENDATIONS = 5


def risk_report(material: Material) -> dict[str, Any]:
    """``{source_title, sentences_read, risks, overall{level, score, count, mitigated}, recommendations, summary}``."""
    read = _sentences(material)
    risks = find_risks(read)
    title = defused(material.title) or topic_of(material)
    overall = _overall(risks)
    return {
        "source_title": title,
        "sentences_read": len(read),
        "risks": [risk.as_json() for risk in risks],
        "overall": overall,
        "recommendations": _recommendations(risks),
        "summary": _summary(title, risks, len(read), overall["level"]),
    }


def _sentences(material: Material) -> list[Sentence]:
    """What to read: findings rather than a text that sums them up, and of a cited text the sentences with a source.

    What a cited article says without a source is framing ("this note is about theft"). A bare topic is read last.
    """
    if material.findings:
        told = [(sentence, finding.source) for finding in material.findings for sentence in sentences(finding.passage)]
        return [Sentence(text, number, source) for number, (text, source) in enumerate(told, 1)]
    read = list(traced(sentences(plain(material.text)) or [material.topic], material.sources))
    return [sentence for sentence in read if sentence.source] or read


def _overall(risks: list[Risk]) -> dict[str, Any]:
    """The gravest risk sets the level: many small ones do not add up to a great one."""
    top = risks[0].score if risks else 0
    mitigated = sum(risk.mitigated for risk in risks)
    return {"level": level(top) if risks else "none", "score": top, "count": len(risks), "mitigated": mitigated}


def _recommendations(risks: list[Risk]) -> list[dict[str, Any]]:
    """One per category, in the order of its gravest risk, naming the risks (by rank, from 1) it answers."""
    ranks: dict[str, list[int]] = {}
    advice: dict[str, str] = {}
    for rank, risk in enumerate(risks, 1):
        ranks.setdefault(risk.category.name, []).append(rank)
        advice[risk.category.name] = risk.category.advice
    return [
        {"category": name, "action": advice[name], "risks": places}
        for name, places in list(ranks.items())[:MAX_RECOMMENDATIONS]
    ]


def _summary(title: str, risks: list[Risk], read: int, grade: str) -> str:
    if not risks:
        return f"No risk found in {read} sentences on “{title}”."
    top = risks[0]
    count = f"{len(risks)} risk{'' if len(risks) == 1 else 's'}"
    return f"{count} in {read} sentences on “{title}”, {grade} overall. First: {top.category.name}. {top.statement}"
