"""The writer's articles: cited, in three really different styles, and harmless to show."""

import json
import re
from typing import Any

import pytest

from base.text.material import read_material
from base.text.prose import sentences
from base.worker import CapabilityError
from researcher.report import query_report
from writer.compose import MAX_CLAIMS, compose, recompose
from writer.markdown import escaped, tamed
from writer.styles import STYLES

FINDINGS = query_report(read_material({"topic": "revoked tokens"}))


def write(**task: Any) -> dict[str, Any]:
    return compose(read_material(task))


def written(style: str) -> dict[str, Any]:
    return write(**FINDINGS, style=style)


def outline(article: dict[str, Any]) -> list[str]:
    return [section["heading"] for section in article["sections"]]


@pytest.mark.parametrize("style", STYLES)
def test_every_statement_taken_from_a_source_is_cited_with_that_source(style: str) -> None:
    article = written(style)
    told = re.sub(r"[*\\]", "", article["body"])
    quoted = 0
    for number, finding in enumerate(FINDINGS["findings"], 1):
        for sentence in sentences(finding["passage"]):
            stump = sentence.rstrip(".!?")
            for place in re.finditer(re.escape(stump), told):
                quoted += 1
                assert told[place.end() :].startswith(f" [{number}]")
    assert quoted >= len(FINDINGS["findings"])


@pytest.mark.parametrize("style", STYLES)
def test_the_list_of_sources_holds_exactly_the_sources_cited(style: str) -> None:
    article = written(style)
    text, listed = re.split(r"\n## (?:References|Sources)\n", article["body"])
    cited = set(map(int, re.findall(r"\[(\d+)\]", text)))
    assert cited == {citation["number"] for citation in article["citations"]}
    assert [citation["source"] for citation in article["citations"]] == [f["source"] for f in FINDINGS["findings"]]
    assert all(citation["source"].replace("_", r"\_") in listed for citation in article["citations"])


def test_the_styles_share_no_outline_and_no_title() -> None:
    outlines = [set(outline(written(style))) - {"References", "Sources"} for style in STYLES]
    assert all(not one & other for one in outlines for other in outlines if one is not other)
    assert len({written(style)["title"] for style in STYLES}) == len(STYLES)


def test_each_style_has_its_own_means() -> None:
    academic, casual, technical = (written(style)["body"] for style in ("academic", "casual", "technical"))
    assert "### 2.1 " in academic
    assert "## Abstract" in academic
    assert "'" not in academic.split("## 2. Evidence")[0]
    assert "- **" in casual
    assert "Here's" in casual
    assert "| No. | Subject | Relevance |" in technical
    assert re.search(r"(?m)^1\. ", technical.partition("## Requirements")[2])


def test_technical_requirements_are_the_sentences_that_demand_something() -> None:
    passage = "The list must be signed. Lists are short. Keys should rotate."
    body = write(findings=[{"title": "T", "passage": passage, "source": "s"}], style="technical")["body"]
    demands = body.partition("## Requirements\n\n")[2].partition("\n\n## ")[0]
    assert demands == "1. The list must be signed [1].\n2. Keys should rotate [1]."
    assert "Lists are short [1]." in body.partition("## Facts")[2]


def test_casual_is_the_default_and_a_handed_on_style_is_honoured() -> None:
    assert write(**FINDINGS)["style"] == "casual"
    handed_on = query_report(read_material({"topic": "revoked tokens", "style": "Academic"}))
    assert write(**handed_on)["style"] == "academic"


def test_an_unknown_style_is_refused_with_the_ones_there_are() -> None:
    with pytest.raises(CapabilityError, match="style must be one of academic, casual, technical"):
        write(topic="trust", style="gothic")


@pytest.mark.parametrize("style", STYLES)
def test_the_same_material_gives_the_same_article_byte_for_byte(style: str) -> None:
    assert json.dumps(written(style)) == json.dumps(written(style))


@pytest.mark.parametrize("style", STYLES)
def test_a_bare_topic_or_prompt_yields_no_invented_statement(style: str) -> None:
    article = write(prompt="Analyst at hop 2 writes about key rotation", style=style)
    assert article["topic"] == "key rotation"
    assert article["citations"] == []
    assert "key rotation" in article["body"]
    assert not re.search(r"\[\d", article["body"])


def test_a_document_is_its_own_source() -> None:
    article = write(document="Access needs approval. Logs are kept for a year. Nobody reads them. Keys rotate.")
    assert [citation["source"] for citation in article["citations"]] == ["the text given"] * 2
    assert "Access needs approval [1]." in article["body"]


def test_word_count_counts_the_prose() -> None:
    short = write(findings=[{"title": "T", "passage": "One.", "source": "s"}])["word_count"]
    longer = write(findings=[{"title": "T", "passage": "One and two and three.", "source": "s"}])["word_count"]
    assert 0 < short < longer


HOSTILE = "<script>alert(1)</script> [x](javascript:alert(1)) # head **b** `c` | d |\x00\x1b[2J\u202e"


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("field", ["title", "passage", "source", "topic", "document"])
def test_foreign_text_is_shown_and_never_becomes_markup(style: str, field: str) -> None:
    if field in ("topic", "document"):
        article = write(**{field: f"{HOSTILE} one. Two three four.", "style": style})
    else:
        finding = {"title": "t", "passage": "p q r.", "source": "s"} | {field: HOSTILE}
        article = write(topic="t", findings=[finding], style=style)
    text = json.dumps(article, ensure_ascii=False)
    assert "<" not in text
    assert not re.search(r"(?<!\\)\]\(", article["body"])
    assert not re.search(r"[\x00\x1b\u202e]", text)
    assert "alert" in article["body"]


@pytest.mark.parametrize("line", ["# head", "- item", "+ item", "1. item", "2) item", "=== ", "> quote", "~~~"])
def test_an_escaped_line_opens_no_block(line: str) -> None:
    assert not re.match(r"(?:#|[-+*] |\d+[.)] |=+|>|~~~|```)", escaped(line))


def test_an_article_is_bounded_whatever_it_is_given() -> None:
    findings = [{"title": "t" * 500, "passage": "A word. " * 450, "source": "s" * 500} for _ in range(100)]
    article = write(topic="t" * 500, findings=findings, style="technical")
    assert len(article["citations"]) == MAX_CLAIMS
    assert len(json.dumps(article)) < 200_000


def test_a_models_text_replaces_the_body_and_keeps_the_sources() -> None:
    article = written("casual")
    rewritten = recompose(article, "# Other title\n## Why\nRevocation is final [1].<img src=x> [go](javascript:x)")
    assert rewritten is not None
    assert outline(rewritten) == ["Why", "Sources"]
    assert rewritten["title"] == article["title"]
    assert rewritten["citations"] == article["citations"]
    assert "<img" not in rewritten["body"]
    assert "](" not in rewritten["body"]


@pytest.mark.parametrize("text", ["All is well.", "Revocation is final [1], they say [99]."])
def test_a_models_text_that_drops_or_invents_sources_is_refused(text: str) -> None:
    assert recompose(written("casual"), text) is None


def test_link_definitions_of_a_model_are_disarmed() -> None:
    assert "]:" not in tamed("[x]: javascript:alert(1)\n[y] (z) [a][x]")
