"""The analyzer: what is a risk, how it is rated, and what takes it off the list."""

import json
from typing import Any

import pytest

from analyzer.report import MAX_RECOMMENDATIONS, risk_report
from analyzer.risks import MAX_RISKS
from base.text.material import read_material


def analyze(**task: Any) -> dict[str, Any]:
    return risk_report(read_material(task))


def risks(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = analyze(topic="t", text=text)["risks"]
    return found


def only(text: str) -> dict[str, Any]:
    (risk,) = risks(text)
    return risk


@pytest.mark.parametrize(
    ("sentence", "category"),
    [
        ("A thief may use a stolen key.", "credential theft"),
        ("Someone could impersonate the writer.", "impersonation"),
        ("Personal data might be read.", "data exposure"),
        ("The agent holds excessive grants.", "excessive authority"),
        ("The file may be tampered with.", "tampering"),
        ("An old message can be replayed.", "replay"),
        ("An outage of the registry is possible.", "availability"),
        ("The practice violates a rule.", "compliance"),
        ("Vendor lock-in worries buyers.", "dependency"),
        ("The service runs without any audit log.", "missing safeguard"),
        ("Tokens are accepted unverified.", "missing safeguard"),
        ("That key never expires.", "missing safeguard"),
    ],
)
def test_a_sentence_is_put_in_the_category_it_speaks_of(sentence: str, category: str) -> None:
    assert only(sentence)["category"] == category


@pytest.mark.parametrize(
    "sentence",
    [
        "There is no sign of tampering.",
        "The key was not stolen.",
        "The design is free of replay.",
        "We never had an outage.",
        "The two agents write a report about gardens.",
    ],
)
def test_a_denied_or_absent_harm_is_no_risk(sentence: str) -> None:
    report = analyze(topic="t", text=f"{sentence} It rains.")
    assert report["risks"] == []
    assert report["overall"]["level"] == "none"
    assert report["recommendations"] == []


def test_a_denial_reaches_only_the_harm_it_stands_before() -> None:
    assert only("There was no outage but keys were stolen.")["category"] == "credential theft"


def test_a_control_at_work_lowers_the_likelihood_and_not_the_severity() -> None:
    bare, controlled = only("Messages can be replayed."), only("Replayed messages are refused.")
    assert controlled["mitigated"]
    assert not bare["mitigated"]
    assert controlled["severity"] == bare["severity"]
    assert controlled["likelihood"] < bare["likelihood"]


def test_a_control_that_does_not_work_lowers_nothing() -> None:
    assert not only("Replayed messages are not refused.")["mitigated"]


def test_wording_moves_severity_and_likelihood() -> None:
    rated = [only(f"{words}.") for words in ("A minor outage is unlikely", "An outage", "A critical outage will come")]
    assert [risk["likelihood"] for risk in rated] == [1, 3, 5]
    assert rated[0]["severity"] < rated[1]["severity"] < rated[2]["severity"]


def test_risks_are_ranked_by_severity_times_likelihood() -> None:
    found = risks("A small outage is rare. Keys will be stolen. Forecasts differ. Vendor lock-in is common.")
    assert [risk["score"] for risk in found] == sorted((r["severity"] * r["likelihood"] for r in found), reverse=True)
    assert found[0]["statement"] == "Keys will be stolen."
    assert found[-1]["statement"] == "A small outage is rare."


def test_the_gravest_risk_sets_the_overall_level() -> None:
    one = analyze(topic="t", text="Keys will be stolen. It rains.")
    many = analyze(topic="t", text="Keys will be stolen. " + "A small outage is rare. ")
    assert one["overall"]["level"] == many["overall"]["level"] == "critical"
    assert one["overall"]["score"] == one["risks"][0]["score"]


def test_repeated_statements_count_once() -> None:
    assert len(risks("Keys will be stolen. It's this: keys will be stolen! Keys will be stolen.")) == 1


def test_recommendations_follow_the_ranking_and_name_the_risks_they_answer() -> None:
    report = analyze(topic="t", text="A small outage is rare. Keys will be stolen. A thief could come.")
    first = report["recommendations"][0]
    assert first["category"] == "credential theft"
    assert [report["risks"][rank - 1]["category"] for rank in first["risks"]] == ["credential theft"] * 2
    assert len(report["recommendations"]) == 2


def test_findings_are_the_source_of_their_risks() -> None:
    report = analyze(
        findings=[{"title": "A", "passage": "Fine.", "source": "one"}, {"passage": "Keys leak.", "source": "two"}]
    )
    assert [risk["evidence"]["source"] for risk in report["risks"]] == ["two"]


def test_a_citation_in_an_article_is_traced_to_its_source() -> None:
    article = {
        "title": "T",
        "body": "# Stolen\n\nAll is fine [1]. Keys will be stolen [2].\n\n## Sources\n\n- [1] Theft, a\n- [2] B, b\n",
        "citations": [{"number": 1, "source": "a"}, {"number": 2, "source": "b"}],
    }
    (risk,) = analyze(**article)["risks"]
    assert risk["statement"] == "Keys will be stolen."
    assert risk["evidence"] == {"cues": ["stolen"], "sentence": 2, "source": "b"}


def test_what_a_cited_article_says_without_a_source_is_no_evidence() -> None:
    body = "This note is about stolen keys. Keys rotate [1]."
    assert analyze(title="T", body=body, citations=[{"number": 1, "source": "a"}])["risks"] == []
    assert len(analyze(title="T", body=body)["risks"]) == 1


def test_a_forged_citation_number_is_traced_to_nothing() -> None:
    assert "source" not in only("Keys will be stolen [7].")["evidence"]


def test_the_same_text_gives_the_same_analysis_byte_for_byte() -> None:
    text = "Keys leak. Logs are missing controls. An outage is likely."
    assert json.dumps(analyze(text=text)) == json.dumps(analyze(text=text))


@pytest.mark.parametrize(
    "text",
    ["\n " * 99_000 + "x", "A. " * 66_000, "without audit " * 14_000, "*" * 200_000, "leak " * 40_000, ".' " * 66_000],
    ids=["blank lines", "abbreviations", "lacks", "stars", "one sentence", "quotes"],
)
def test_a_huge_text_gives_a_bounded_answer(text: str) -> None:
    report = analyze(text=text)
    assert len(json.dumps(report)) < 50_000


def test_the_list_of_risks_is_bounded_and_keeps_the_gravest() -> None:
    noise = " ".join(f"Topic{n} item{n} thing{n} had some outage near place{n}." for n in range(200))
    report = analyze(text=f"{noise} Keys will be stolen.")
    assert len(report["risks"]) == MAX_RISKS
    assert report["risks"][0]["category"] == "credential theft"
    assert len(report["recommendations"]) <= MAX_RECOMMENDATIONS


def test_tags_in_a_statement_are_defused() -> None:
    assert "<" not in json.dumps(only("Keys <img src=x onerror=y> will be stolen."), ensure_ascii=False)
