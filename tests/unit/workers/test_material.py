"""Reading a task: what is accepted, what is refused and how the refusal names the fault."""

from typing import Any

import pytest

from base.text.material import MAX_ENTRIES, MAX_TEXT, MAX_TOPIC, read_material, topic_of
from base.worker import CapabilityError


@pytest.mark.parametrize(
    ("task", "named"),
    [
        ("just text", "JSON object"),
        ([], "JSON object"),
        ({}, "topic, prompt, text, document, findings"),
        ({"topic": "  \x00 "}, "nothing to work on"),
        ({"topic": 7}, "topic must be a string, got int"),
        ({"topic": ["a"]}, "topic must be a string, got list"),
        ({"topic": "x" * (MAX_TOPIC + 1)}, f"topic must be at most {MAX_TOPIC}"),
        ({"document": "x" * (MAX_TEXT + 1)}, f"document must be at most {MAX_TEXT}"),
        ({"topic": "ok", "body": {}}, "body must be a string, got dict"),
        ({"topic": "ok", "style": 1}, "style must be a string"),
        ({"findings": "all"}, "findings must be a list, got str"),
        ({"findings": [{"passage": "ok"}, 3]}, "findings[1] must be an object, got int"),
        ({"findings": [{"title": "no passage"}]}, "findings[0].passage must be a string"),
        ({"findings": [{"passage": " "}]}, "findings[0].passage must not be empty"),
        ({"findings": [{"passage": "p", "score": "9"}]}, "findings[0].score must be a number"),
        ({"findings": [{"passage": "p", "score": True}]}, "findings[0].score must be a number"),
        ({"findings": [{"passage": "p", "score": float("nan")}]}, "findings[0].score must be a number"),
        ({"findings": [{"passage": "p"}] * (MAX_ENTRIES + 1)}, f"at most {MAX_ENTRIES} entries"),
        ({"risks": [{"statement": None}]}, "risks[0].statement must be a string"),
        ({"topic": "t", "citations": [{"number": "1", "source": "s"}]}, "citations[0].number must be an integer"),
    ],
)
def test_a_refusal_names_the_field_and_what_it_should_be(task: Any, named: str) -> None:
    with pytest.raises(CapabilityError) as caught:
        read_material(task)
    assert named in str(caught.value)


def test_a_refusal_does_not_quote_the_input() -> None:
    with pytest.raises(CapabilityError) as caught:
        read_material({"topic": "<script>" * 1000})
    assert "script" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_keys_nobody_reads_are_ignored() -> None:
    material = read_material({"topic": "trust", "external_capability": "analyze.data", "query_terms": {"any": 1}})
    assert (material.topic, material.text, material.findings) == ("trust", "", ())


@pytest.mark.parametrize(
    ("task", "topic"),
    [
        ({"prompt": "Analyst at hop 2 writes about key rotation."}, "key rotation"),
        ({"input": "Write about "}, "Write about"),
        ({"document": "Draft policy on AI agent data access"}, "Draft policy on AI agent data access"),
        ({"document": "# Access policy\n\nAgents ask first. They log."}, "Access policy"),
        ({"findings": [{"title": "Pins", "passage": "A pin is exact."}]}, "Pins"),
        ({"topic": "given", "prompt": "Write about something else"}, "given"),
        ({"topic": "a <b>bold</b> topic"}, "a \u2039b\u203abold\u2039/b\u203a topic"),
    ],
)
def test_a_topic_is_found_in_whatever_was_given(task: dict[str, Any], topic: str) -> None:
    assert topic_of(read_material(task)) == topic


def test_an_analyzers_risks_become_findings_with_their_sources() -> None:
    risks = [{"statement": "Keys leak.", "category": "credential theft", "evidence": {"source": "report 7"}}]
    (finding,) = read_material({"risks": risks}).findings
    assert (finding.title, finding.passage, finding.source) == ("credential theft", "Keys leak.", "report 7")
