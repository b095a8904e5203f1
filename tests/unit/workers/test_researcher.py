"""The researcher's corpus, ranking and reports."""

import json
from typing import Any

import pytest

from base.text.material import read_material
from base.text.prose import terms
from researcher.library import CORPUS, Passage, anchor, passages
from researcher.report import DEEP_FINDINGS, FINDINGS, deep_report, query_report


def query(**task: Any) -> dict[str, Any]:
    return query_report(read_material(task))


def deep(**task: Any) -> dict[str, Any]:
    return deep_report(read_material(task))


@pytest.mark.parametrize(
    ("topic", "source"),
    [
        ("AI agent collaboration", "adoption.md#agent-collaboration"),
        ("market trends in enterprise AI", "adoption.md#market-trends"),
        ("Draft policy on AI agent data access", "adoption.md#data-access-policy"),
        ("How does a holder prove possession of a token's key?", "tokens.md#proof-of-possession"),
        ("rotating an agent's key", "identity.md#key-rotation"),
        ("narrowing the scope of a delegation (attenuation)", "delegation.md#attenuation"),
        ("signed list of revoked identifiers", "revocation.md#signed-revocation-lists"),
        ("fail open or fail closed", "revocation.md#fail-modes"),
        ("man-in-the-middle attack on a handshake", "handshake.md#man-in-the-middle"),
        ("did:web document", "handshake.md#didweb-documents"),
        ("OIDC identity provider", "identity.md#identities-bound-through-oidc"),
        ("What happens to agents when the control plane is gone?", "operations.md#degradation-without-a-control-plane"),
        ("least privilege", "operations.md#least-privilege"),
    ],
)
def test_the_passage_that_answers_is_ranked_first(topic: str, source: str) -> None:
    assert query(topic=topic)["findings"][0]["source"] == source


@pytest.mark.parametrize("passage", passages(), ids=lambda passage: passage.source)
def test_a_passages_own_title_finds_it_first(passage: Passage) -> None:
    assert query(topic=passage.title)["findings"][0]["title"] == passage.title


@pytest.mark.parametrize(
    "topic", ["banana bread recipes", "weather in Lisbon", "世界", "the of and", "football agents Cup"]
)
def test_a_foreign_topic_finds_nothing_and_says_so(topic: str) -> None:
    report = query(topic=topic)
    assert report["findings"] == []
    assert report["confidence"] == "none"
    assert "nothing" in report["summary"]
    assert deep(topic=topic)["findings"] == []


def test_a_partly_foreign_topic_is_answered_with_less_confidence() -> None:
    order = ["none", "low", "medium", "high"]
    sure = query(topic="key rotation")["confidence"]
    unsure = query(topic="key rotation in medieval monastery gardens")["confidence"]
    assert order.index(unsure) < order.index(sure)


def test_findings_are_ordered_by_score_and_bounded() -> None:
    scores = [finding["score"] for finding in query(topic="revoked tokens")["findings"]]
    assert len(scores) == FINDINGS
    assert scores == sorted(scores, reverse=True)


def test_the_same_question_gives_the_same_answer_byte_for_byte() -> None:
    for ask in (query, deep):
        assert json.dumps(ask(topic="delegation and trust")) == json.dumps(ask(topic="delegation and trust"))


def test_a_long_document_is_searched_by_what_it_repeats() -> None:
    filler = " ".join(f"unrelated{n}" for n in range(200))
    document = (
        f"{filler}. Webhook deliveries matter. A webhook receiver checks each delivery. Webhook duplicates happen."
    )
    report = query(document=document)
    assert report["query_terms"][0] == "webhook"
    assert report["findings"][0]["source"] == "operations.md#webhook-deliveries"


def test_the_summary_cites_the_source_of_each_statement() -> None:
    report = query(topic="least privilege and audit logs")
    for finding in report["findings"][:3]:
        assert f"({finding['source']})" in report["summary"]


def test_a_style_is_handed_on_to_the_writer() -> None:
    assert query(topic="trust anchors", style="technical")["style"] == "technical"
    assert "style" not in query(topic="trust anchors")


def test_the_deep_search_finds_what_the_plain_one_misses() -> None:
    report = deep(topic="stolen bearer tokens")
    added = [finding for finding in report["findings"] if finding["found_by"] == "expansion"]
    assert report["expanded_terms"]
    assert added
    assert not set(report["expanded_terms"]) & set(report["query_terms"])
    assert FINDINGS < len(report["findings"]) <= DEEP_FINDINGS
    asked = set(report["query_terms"])
    assert any(not asked & set(terms(f"{finding['title']} {finding['passage']}")) for finding in added)


def test_the_deep_search_puts_every_finding_in_one_theme_and_relates_only_findings() -> None:
    report = deep(topic="revocation of delegated tokens")
    sources = {finding["source"] for finding in report["findings"]}
    grouped = [source for theme in report["themes"] for source in theme["sources"]]
    assert sorted(grouped) == sorted(sources)
    assert len(report["themes"]) > 1
    assert report["relations"]
    assert all({relation["from"], relation["to"]} <= sources for relation in report["relations"])


def test_every_source_leads_to_a_heading_of_its_file() -> None:
    for passage in passages():
        name, _, fragment = passage.source.partition("#")
        lines = (CORPUS / name).read_text(encoding="utf-8").splitlines()
        assert fragment in {anchor(line.removeprefix("## ")) for line in lines if line.startswith("## ")}


def test_every_cross_reference_of_the_corpus_names_a_passage() -> None:
    titles = [passage.title for passage in passages()]
    assert len(titles) == len(set(titles)) >= 25
    assert {name for passage in passages() for name in passage.related} <= set(titles)
