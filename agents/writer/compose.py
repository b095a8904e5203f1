"""Composing an article from cited material: the same input gives the same article."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from base.refusals import CapabilityError
from base.text.material import Finding, Material, is_prompt, topic_of
from base.text.prose import clip, defused, plain, sentences
from writer.markdown import escaped, headings, tamed
from writer.styles import STYLES, UNSOURCED, UNSOURCED_HEADINGS, Claim

DEFAULT_STYLE = "casual"
MAX_CLAIMS = 12
MAX_SENTENCES = 8
MAX_SENTENCE = 600
#: The source named for statements of a text that came without one.
INPUT_TEXT = "the text given"


def compose(material: Material) -> dict[str, Any]:
    """``{title, body, style, word_count, sections, citations, topic}``; ``body`` is Markdown with numbered citations.

    Raises :class:`CapabilityError` for an unknown style.
    """
    style = style_of(material)
    topic = topic_of(material)
    findings = _findings(material)
    claims = _claims(findings)
    if claims:
        title, lines = STYLES[style](topic, escaped(topic), claims)
        lines += _source_list(style, findings)
    else:
        title = topic
        lines = [f"## {UNSOURCED_HEADINGS[style]}", UNSOURCED[style].format(topic=escaped(topic))]
    article = {"topic": topic, "style": style, "citations": _citations(findings)}
    return article | _text(title, lines)


def recompose(article: dict[str, Any], written: str) -> dict[str, Any] | None:
    """The article in a model's words, its sources listed as before; None when they cite no or an unknown source."""
    known = {entry["number"] for entry in article["citations"]}
    cited = {int(number) for number in re.findall(r"\[(\d{1,3})\]", written)}
    if not cited <= known or (known and not cited):
        return None
    body = re.sub(r"\A# .*\n", "", tamed(written)).strip()
    findings = [Finding(entry["title"], "", entry["source"]) for entry in article["citations"]]
    return article | _text(article["title"], [body, *(_source_list(article["style"], findings) if findings else ())])


def style_of(material: Material) -> str:
    """The style asked for, or the default. Raises :class:`CapabilityError` when there is no such style."""
    style = (material.style or DEFAULT_STYLE).casefold()
    if style not in STYLES:
        raise CapabilityError(f"style must be one of {', '.join(STYLES)}")
    return style


def _findings(material: Material) -> list[Finding]:
    if material.findings:
        return list(material.findings[:MAX_CLAIMS])
    if not material.text or is_prompt(material.text):
        return []
    told = [part for part in sentences(plain(material.text)) if len(part.split()) > 1]
    groups = [told[at : at + 3] for at in range(0, min(len(told), 3 * MAX_CLAIMS), 3)]
    return [Finding(f"Passage {number}", " ".join(group), INPUT_TEXT) for number, group in enumerate(groups, 1)]


def _claims(findings: Sequence[Finding]) -> list[Claim]:
    top = max((finding.score for finding in findings), default=0.0)
    return [
        Claim(
            number=number,
            title=escaped(clip(finding.title, 120)),
            sentences=tuple(escaped(clip(part, MAX_SENTENCE)) for part in sentences(finding.passage)[:MAX_SENTENCES]),
            weight=max(0.0, finding.score) / top if top > 0 else 1.0,
        )
        for number, finding in enumerate(findings, 1)
    ]


def _citations(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [
        {"number": number, "title": defused(clip(finding.title, 120)), "source": defused(finding.source)}
        for number, finding in enumerate(findings, 1)
    ]


def _source_list(style: str, findings: Sequence[Finding]) -> list[str]:
    heading = "References" if style == "academic" else "Sources"
    entries = [
        f"- [{number}] {escaped(clip(finding.title, 120))}, {escaped(finding.source)}"
        for number, finding in enumerate(findings, 1)
    ]
    return [f"## {heading}", "\n".join(entries)]


def _text(title: str, lines: Sequence[str]) -> dict[str, Any]:
    body = "\n\n".join([f"# {escaped(title)}", *lines]) + "\n"
    return {"title": title, "body": body, "word_count": len(plain(body).split()), "sections": headings(body)}
