"""Answers of the researcher: the findings of a search, and of a deeper one that follows the first."""

from __future__ import annotations

from collections import Counter
from typing import Any

from base.text.material import Material, topic_of
from base.text.prose import clip, sentences, terms
from researcher.search import Hit, confidence, index, query_terms

FINDINGS, DEEP_FINDINGS = 5, 10
#: How many passages of the first search lend their words to the second, how many words, and what one weighs.
FEEDBACK_PASSAGES, FEEDBACK_TERMS, FEEDBACK_WEIGHT = 3, 8, 0.3
#: An added word carries little of the query, so a passage found by added words alone covers less of it.
FEEDBACK_COVERAGE = 0.1


def query_report(material: Material) -> dict[str, Any]:
    """One search: ``{topic, findings, summary, confidence, query_terms}``, and ``style`` handed on when given."""
    query = query_terms(question(material))
    return _report(material, index().search(query, FINDINGS), query)


def deep_report(material: Material) -> dict[str, Any]:
    """Two searches, the second widened by the best passages' own words (pseudo-relevance feedback).

    Adds ``expanded_terms``, ``themes`` (findings' sources by theme) and ``relations`` between findings.
    """
    query = query_terms(question(material))
    first = index().search(query, DEEP_FINDINGS)
    added = _feedback(first, query)
    # The confidence stays that of the asker's own words: the added ones fit by construction.
    direct = {hit.passage.source for hit in first}
    wider = query | dict.fromkeys(added, FEEDBACK_WEIGHT)
    second = index().search(wider, DEEP_FINDINGS, FEEDBACK_COVERAGE) if first else []
    report = _report(material, second, query, confidence(first))
    for finding in report["findings"]:
        finding["found_by"] = "query" if finding["source"] in direct else "expansion"
    return report | {"expanded_terms": added, "themes": _themes(second), "relations": _relations(second)}


def question(material: Material) -> str:
    """What to search for: the topic, else the text, else what the findings are about."""
    return material.topic or material.text or " ".join(finding.title for finding in material.findings)


def _report(material: Material, hits: list[Hit], query: dict[str, float], sure: str | None = None) -> dict[str, Any]:
    topic, sure = topic_of(material), sure or confidence(hits)
    report = {
        "topic": topic,
        "findings": [_finding(hit) for hit in hits],
        "summary": _summary(topic, hits, sure),
        "confidence": sure,
        "query_terms": list(query),
    }
    return report | ({"style": material.style} if material.style else {})


def _finding(hit: Hit) -> dict[str, Any]:
    passage = hit.passage
    return {
        "title": passage.title,
        "passage": passage.text,
        "source": passage.source,
        "theme": passage.theme,
        "score": hit.score,
        "coverage": hit.coverage,
    }


def _summary(topic: str, hits: list[Hit], sure: str) -> str:
    """The leading sentence of the best passages, each with its source."""
    if not hits:
        return f"The corpus holds nothing on “{topic}”."
    caveat = " They touch the topic only in part." if sure == "low" else ""
    leads = " ".join(f"{sentences(hit.passage.text)[0]} ({hit.passage.source})" for hit in hits[:3])
    return clip(f"{len(hits)} passages on “{topic}”.{caveat} {leads}", 2_000)


def _feedback(hits: list[Hit], query: dict[str, float]) -> list[str]:
    """The most telling words that the best passages share and the query lacks; a word of one passage is chance."""
    shared: Counter[str] = Counter()
    for hit in hits[:FEEDBACK_PASSAGES]:
        shared.update(set(terms(f"{hit.passage.title} {hit.passage.text}")) - query.keys())
    common = [term for term, passages in shared.items() if passages > 1]
    return sorted(common, key=lambda term: (-shared[term] * index().rarity(term), term))[:FEEDBACK_TERMS]


def _themes(hits: list[Hit]) -> list[dict[str, Any]]:
    """Themes in the order of their best finding."""
    themes: dict[str, list[str]] = {}
    for hit in hits:
        themes.setdefault(hit.passage.theme, []).append(hit.passage.source)
    return [{"theme": theme, "sources": sources} for theme, sources in themes.items()]


def _relations(hits: list[Hit]) -> list[dict[str, str]]:
    """The cross-references that lead from one finding to another."""
    sources = {hit.passage.title: hit.passage.source for hit in hits}
    return [
        {"from": hit.passage.source, "to": sources[title], "relation": "see also"}
        for hit in hits
        for title in hit.passage.related
        if title in sources
    ]
